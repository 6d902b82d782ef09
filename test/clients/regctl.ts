import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { digestOf } from '../reliability/bytes.ts'
import type { ClientChecks } from './client.ts'

export const regctl: ClientChecks = async ({ host, folder, samples, registry, check, run, output, ...client }) => {
  const regctl = (...args: string[]) => run('regctl', args)
  const image = `${host}/regctl/multi:v1`
  const { layout, multi, hello, platform, files } = samples
  const sbom = join(folder, 'sbom.json')
  const artifactType = 'application/vnd.example.sbom'

  await check('copies an index from an OCI layout and back', async () => {
    await regctl('registry', 'set', '--tls', 'disabled', host)
    await regctl('image', 'copy', `ocidir://${layout}:multi`, image)
    await client.assertPushed('regctl/multi', 'v1', multi.digest)
    await regctl('image', 'copy', image, `ocidir://${folder}/back:v1`)
    await client.assertPulled(join(folder, 'back'), multi.digest)
  })
  await check('puts an artifact on it, finds it and gets the same bytes', async () => {
    await writeFile(sbom, '{"packages": []}\n')
    await regctl('artifact', 'put', '--subject', image, '--artifact-type', artifactType, '--file', sbom)
    const [referrer] = await registry.referrers('regctl/multi', multi.digest)
    assert.equal(referrer?.artifactType, artifactType)
    const tree = await regctl('artifact', 'tree', image)
    for (const { digest } of [hello, referrer]) assert.ok(tree.includes(digest), `${digest} is not in the tree`)
    const flags = ['--subject', image, '--filter-artifact-type', artifactType]
    assert.ok((await readFile(sbom)).equals(await output('regctl', ['artifact', 'get', ...flags])))
  })
  await check('copies the index with its referrers', async () => {
    await regctl('image', 'copy', '--referrers', image, `${host}/regctl/copy:v1`)
    await client.assertPushed('regctl/copy', 'v1', multi.digest)
    const referrers = await registry.referrers('regctl/copy', multi.digest)
    assert.deepEqual(referrers, await registry.referrers('regctl/multi', multi.digest))
    for (const { digest } of referrers) await registry.everything('regctl/copy', digest)
  })
  await check('puts and gets a blob', async () => {
    const bytes = await readFile(join(files, 'hello'))
    const digest = await run('regctl', ['blob', 'put', `${host}/regctl/blobs`], { input: bytes })
    assert.equal(digest, digestOf(bytes))
    assert.ok(bytes.equals(await output('regctl', ['blob', 'get', `${host}/regctl/blobs`, digest])))
  })
  await check('gets manifests', async () => {
    const { bytes } = await registry.manifest('regctl/multi', 'v1')
    assert.ok(bytes.equals(await output('regctl', ['manifest', 'get', '--format', 'raw-body', image])))
    assert.equal(await regctl('manifest', 'head', image), multi.digest)
    assert.equal(await regctl('image', 'digest', '--platform', platform, image), hello.digest)
  })
  await check('lists and deletes tags', async () => {
    await regctl('image', 'copy', image, `${host}/regctl/multi:v2`)
    assert.equal(await regctl('tag', 'ls', `${host}/regctl/multi`), 'v1\nv2')
    await regctl('tag', 'delete', `${host}/regctl/multi:v2`)
    assert.deepEqual(await registry.tags('regctl/multi'), ['v1'])
    await client.assertPushed('regctl/multi', 'v1', multi.digest)
  })
  await check('lists repositories', async () => {
    const repositories = (await regctl('repo', 'ls', host)).split('\n').filter(name => name.startsWith('regctl/'))
    assert.deepEqual(repositories, ['regctl/blobs', 'regctl/copy', 'regctl/multi'])
  })
}
