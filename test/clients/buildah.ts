import assert from 'node:assert/strict'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ClientChecks } from './client.ts'
import { assertSameFiles, parseManifest } from './images.ts'

export const buildah: ClientChecks = async ({ host, folder, samples, registry, check, run }) => {
  const storage = ['--root', `${folder}/root`, '--runroot', `${folder}/run`, '--storage-driver', 'overlay']
  const buildah = (...args: string[]) => run('buildah', [...storage, ...args])
  const build = async (tag: string, context: string, lines: string[]) => {
    const recipe = join(folder, 'Containerfile')
    await writeFile(recipe, lines.join('\n'))
    const flags = ['--quiet', '--isolation', 'chroot', '--tls-verify=false', '--tag', tag, '--file', recipe]
    await buildah('bud', ...flags, context)
  }
  const push = async (tag: string) => {
    const digestFile = join(folder, 'digest')
    await buildah('push', '--quiet', '--tls-verify=false', '--digestfile', digestFile, tag)
    return await readFile(digestFile, 'utf8')
  }
  const base = `${host}/buildah/base:v1`
  const above = `${host}/buildah/above:v1`
  let id = ''

  await check('builds an image from scratch and pushes it', async () => {
    await build(base, samples.files, ['FROM scratch', 'COPY hello message.txt /', 'CMD ["/hello"]'])
    id = await buildah('images', '--quiet', '--no-trunc', base)
    const digest = await push(base)
    assert.equal((await registry.manifest('buildah/base', 'v1')).digest, digest)
    assert.ok((await registry.everything('buildah/base', 'v1')).has(id), 'the config is not what was built')
  })
  await check('pulls it with the same files', async () => {
    await buildah('rmi', '--all', '--force')
    assert.equal(`sha256:${await buildah('pull', '--quiet', '--tls-verify=false', base)}`, id)
    const working = await buildah('from', '--pull-never', base)
    await assertSameFiles(await buildah('mount', working), samples.files)
    await buildah('rm', working)
  })
  await check('builds on it and pushes its layers once', async () => {
    await buildah('rmi', '--all', '--force')
    const context = join(folder, 'context')
    await mkdir(context)
    await writeFile(join(context, 'more.txt'), 'more\n')
    await build(above, context, [`FROM ${base}`, 'RUN ["/hello"]', 'COPY more.txt /'])
    await push(above)
    const baseLayers = parseManifest((await registry.manifest('buildah/base', 'v1')).bytes).layers ?? []
    const layers = await registry.everything('buildah/above', 'v1')
    for (const layer of baseLayers) assert.ok(layers.has(layer.digest), `the layer ${layer.digest} was compressed anew`)
  })
}
