import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ClientChecks } from './client.ts'
import { parseManifest } from './images.ts'

export const skopeo: ClientChecks = async ({ host, folder, samples, registry, check, run, output, ...client }) => {
  const { layout, hello, multi } = samples
  const push = (from: string, to: string, ...flags: string[]) =>
    run('skopeo', ['copy', '--dest-tls-verify=false', ...flags, from, `docker://${host}/${to}`])
  const pull = (from: string, to: string, ...flags: string[]) =>
    run('skopeo', ['copy', '--src-tls-verify=false', ...flags, `docker://${host}/${from}`, to])

  await check('copies an image from an OCI layout and back', async () => {
    await push(`oci:${layout}:hello`, 'skopeo/hello:v1')
    await client.assertPushed('skopeo/hello', 'v1', hello.digest)
    await pull('skopeo/hello:v1', `oci:${folder}/back:v1`)
    await client.assertPulled(join(folder, 'back'), hello.digest)
  })
  await check('copies an image to a plain folder and back', async () => {
    await pull(`skopeo/hello@${hello.digest}`, `dir:${folder}/plain`)
    for (const [digest, bytes] of await registry.everything('skopeo/hello', hello.digest)) {
      const name = digest === hello.digest ? 'manifest.json' : digest.slice('sha256:'.length)
      assert.ok(bytes.equals(await readFile(join(folder, 'plain', name))), `${name} has other bytes`)
    }
    await push(`dir:${folder}/plain`, 'skopeo/from/plain:v1')
    await client.assertPushed('skopeo/from/plain', 'v1', hello.digest)
  })
  await check('copies an index with all its images and back', async () => {
    await push(`oci:${layout}:multi`, 'skopeo/multi:v1', '--all')
    await client.assertPushed('skopeo/multi', 'v1', multi.digest)
    await pull('skopeo/multi:v1', `oci:${folder}/multi:v1`, '--all')
    await client.assertPulled(join(folder, 'multi'), multi.digest)
  })
  await check('copies from repository to repository', async () => {
    await push(`docker://${host}/skopeo/multi:v1`, 'skopeo/copied:v1', '--src-tls-verify=false', '--all')
    await client.assertPushed('skopeo/copied', 'v1', multi.digest)
  })
  await check('pushes the image as Docker v2 schema 2', async () => {
    await push(`oci:${layout}:hello`, 'skopeo/docker:v1', '--format', 'v2s2')
    const { mediaType, bytes } = await registry.manifest('skopeo/docker', 'v1')
    assert.equal(mediaType, 'application/vnd.docker.distribution.manifest.v2+json')
    assert.deepEqual(layerDigests(bytes), layerDigests(await readFile(join(folder, 'plain/manifest.json'))))
    await registry.everything('skopeo/docker', 'v1')
    await pull('skopeo/docker:v1', `dir:${folder}/docker`)
    assert.ok(bytes.equals(await readFile(join(folder, 'docker/manifest.json'))))
  })
  await check('inspects', async () => {
    const inspect = ['inspect', '--tls-verify=false', `docker://${host}/skopeo/hello:v1`]
    const seen = JSON.parse(await run('skopeo', inspect)) as { Digest: string; RepoTags: string[]; Layers: string[] }
    const { bytes } = await registry.manifest('skopeo/hello', 'v1')
    assert.deepEqual(
      { digest: seen.Digest, tags: seen.RepoTags, layers: seen.Layers },
      { digest: hello.digest, tags: ['v1'], layers: layerDigests(bytes) }
    )
    assert.ok(bytes.equals(await output('skopeo', [...inspect, '--raw'])))
  })
  await check('lists tags', async () => {
    for (const tag of ['v2', 'latest']) await push(`oci:${layout}:hello`, `skopeo/hello:${tag}`)
    const listed = await run('skopeo', ['list-tags', '--tls-verify=false', `docker://${host}/skopeo/hello`])
    assert.deepEqual((JSON.parse(listed) as { Tags: string[] }).Tags, ['latest', 'v1', 'v2'])
  })
  await check('deletes', async () => {
    await run('skopeo', ['delete', '--tls-verify=false', `docker://${host}/skopeo/hello:v2`])
    await registry.absent('skopeo/hello', hello.digest)
  })
}

function layerDigests(manifest: Buffer): string[] {
  return (parseManifest(manifest).layers ?? []).map(layer => layer.digest)
}
