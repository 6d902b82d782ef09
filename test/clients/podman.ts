import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ClientChecks } from './client.ts'
import { assertSameFiles, everythingInLayout } from './images.ts'

/** What a container gets has to be spelled out where the tests themselves run in a container with few rights. */
const container = '--runtime runc --network host --ulimit nofile=1024:1024 --ulimit nproc=1024:1024'.split(' ')

export const podman: ClientChecks = async ({ host, folder, samples, registry, check, run }) => {
  const storage = ['--root', `${folder}/root`, '--runroot', `${folder}/run`, '--storage-driver', 'overlay']
  const podman = (...args: string[]) => run('podman', [...storage, '--cgroup-manager', 'cgroupfs', ...args])
  const image = `${host}/podman/hello:v1`
  const recipe = join(folder, 'Containerfile')
  const digestFile = join(folder, 'digest')
  let id = ''

  await check('builds and pushes an image', async () => {
    await writeFile(recipe, 'FROM scratch\nCOPY hello message.txt /\nCMD ["/hello"]\n')
    id = await podman('build', '--quiet', '--isolation', 'chroot', '--tag', image, '--file', recipe, samples.files)
    await podman('push', '--quiet', '--tls-verify=false', '--digestfile', digestFile, image)
    assert.equal((await registry.manifest('podman/hello', 'v1')).digest, await readFile(digestFile, 'utf8'))
    assert.ok(
      (await registry.everything('podman/hello', 'v1')).has(`sha256:${id}`),
      'the config is not what was pushed'
    )
  })
  await check('pulls it with the same files', async () => {
    await podman('rmi', '--all', '--force')
    assert.equal(await podman('pull', '--quiet', '--tls-verify=false', image), id)
    await assertSameFiles(await podman('image', 'mount', id), samples.files)
    await podman('image', 'unmount', id)
  })
  await check('runs a container of it', async () => {
    assert.equal(await podman('run', '--rm', ...container, image), samples.message.trim())
  })
  await check('pulls by digest', async () => {
    const { digest } = await registry.manifest('podman/hello', 'v1')
    assert.equal(await podman('pull', '--quiet', '--tls-verify=false', `${host}/podman/hello@${digest}`), id)
  })
  await check('pushes a manifest list with its images', async () => {
    await podman('manifest', 'create', 'list', `oci:${samples.layout}:multi`, '--all')
    await podman('manifest', 'push', '--all', '--tls-verify=false', 'list', `docker://${host}/podman/list:v1`)
    const list = await registry.everything('podman/list', 'v1')
    for (const digest of (await everythingInLayout(samples.layout, samples.multi.digest)).keys()) {
      if (digest !== samples.multi.digest) assert.ok(list.has(digest), `${digest} is not in the list`)
    }
  })
  await podman('rmi', '--all', '--force').catch(() => undefined)
}
