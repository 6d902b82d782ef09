import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Program } from '../reliability/program.ts'
import type { ClientChecks } from './client.ts'
import { DOCKER, dockerSocket, startDocker } from './daemon.ts'
import { assertSameFiles, parseManifest } from './images.ts'

/** docker of Debian with a daemon of the test's own. */
export const docker: ClientChecks = async client => {
  const { host, folder, samples, registry, check, run } = client
  const env = { DOCKER_BUILDKIT: '0', DOCKER_CLI_EXPERIMENTAL: 'enabled' }
  const docker = (...args: string[]) => run(DOCKER, ['--host', dockerSocket(folder), ...args], { env })
  const image = `${host}/docker/hello:v1`
  let daemon: Program | undefined
  let id = ''

  await check('starts', async () => {
    daemon = await startDocker(client)
  })
  await check('builds an image and pushes it', async () => {
    const recipe = join(folder, 'Dockerfile')
    await writeFile(recipe, 'FROM scratch\nCOPY hello message.txt /\nCMD ["/hello"]\n')
    id = await docker('build', '--quiet', '--tag', image, '--file', recipe, samples.files)
    const told = await docker('push', image)
    const { digest, mediaType } = await registry.manifest('docker/hello', 'v1')
    assert.equal(mediaType, 'application/vnd.docker.distribution.manifest.v2+json')
    assert.ok(told.includes(digest), told)
    assert.ok((await registry.everything('docker/hello', 'v1')).has(id), 'the config is not what was built')
  })
  await check('pulls it with the same files', async () => {
    await docker('rmi', image)
    await docker('pull', '--quiet', image)
    assert.equal(await docker('images', '--quiet', '--no-trunc', image), id)
    const [container, pulled] = [await docker('create', image), join(folder, 'pulled')]
    await mkdir(pulled)
    for (const name of ['hello', 'message.txt']) await docker('cp', `${container}:/${name}`, join(pulled, name))
    await assertSameFiles(pulled, samples.files)
    await docker('rm', container)
  })
  await check('runs a container of it', async () => {
    assert.equal(await docker('run', '--rm', '--network', 'host', image), samples.message.trim())
  })
  await check('mounts its layers in another repository', async () => {
    const other = `${host}/docker/mounted:v1`
    await docker('tag', image, other)
    assert.match(await docker('push', other), /Mounted from docker\/hello/)
    const { digest } = await registry.manifest('docker/hello', 'v1')
    assert.equal((await registry.manifest('docker/mounted', 'v1')).digest, digest)
    await registry.everything('docker/mounted', 'v1')
  })
  await check('pulls by digest, and all tags', async () => {
    await docker('tag', image, `${host}/docker/mounted:v2`)
    await docker('push', '--all-tags', `${host}/docker/mounted`)
    assert.deepEqual(await registry.tags('docker/mounted'), ['v1', 'v2'])
    await docker('image', 'prune', '--all', '--force')
    const { digest } = await registry.manifest('docker/hello', 'v1')
    await docker('pull', '--quiet', `${host}/docker/hello@${digest}`)
    await docker('pull', '--quiet', '--all-tags', `${host}/docker/mounted`)
    const tags = await docker('images', '--format', '{{.Tag}}', `${host}/docker/mounted`)
    assert.deepEqual(tags.split('\n').sort(), ['v1', 'v2'])
  })
  await check('pulls from an index of another client', async () => {
    const multi = `${host}/docker/multi:v1`
    const from = `oci:${samples.layout}:multi`
    await run('skopeo', ['copy', '--all', '--dest-tls-verify=false', from, `docker://${multi}`])
    await docker('pull', '--quiet', multi)
    assert.equal(await docker('run', '--rm', '--network', 'host', multi), samples.message.trim())
  })
  await check('pushes a manifest list and inspects it', async () => {
    const list = `${host}/docker/list:v1`
    await docker('manifest', 'create', '--insecure', list, image)
    await docker('manifest', 'annotate', '--os', 'linux', '--arch', 'arm64', '--variant', 'v8', list, image)
    const digest = (await docker('manifest', 'push', '--insecure', list)).split('\n').at(-1)
    const pushed = await registry.manifest('docker/list', 'v1')
    assert.deepEqual([pushed.digest, pushed.mediaType], [digest, listType])
    await registry.everything('docker/list', 'v1')
    assert.match(await docker('manifest', 'inspect', '--insecure', list), /"variant": "v8"/)
  })
  await check("builds on an image of the registry with the daemon's own BuildKit", async () => {
    const above = `${host}/docker/above:v1`
    const recipe = join(folder, 'Dockerfile.above')
    await writeFile(recipe, `FROM ${image}\nCOPY message.txt /more.txt\n`)
    const build = ['--host', dockerSocket(folder), 'build', '--quiet', '--tag', above, '--file', recipe, samples.files]
    await run(DOCKER, build, { env: { ...env, DOCKER_BUILDKIT: '1' } })
    await docker('push', above)
    const { layers: below = [] } = parseManifest((await registry.manifest('docker/hello', 'v1')).bytes)
    const layers = await registry.everything('docker/above', 'v1')
    for (const { digest } of below) assert.ok(layers.has(digest), `the layer ${digest} was compressed again`)
  })
  await daemon?.kill()
}

const listType = 'application/vnd.docker.distribution.manifest.list.v2+json'
