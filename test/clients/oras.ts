import assert from 'node:assert/strict'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ClientChecks } from './client.ts'
import { assertSameFiles, parseManifest } from './images.ts'

export const oras: ClientChecks = async ({ host, folder, samples, registry, check, run, output, ...client }) => {
  const oras = (words: string, ...args: string[]) => run('oras', [...words.split(' '), '--plain-http', ...args])
  const artifact = `${host}/oras/artifact:v1`
  const files = join(folder, 'files')
  let subject = ''

  await check('pushes an artifact and pulls the same files', async () => {
    await mkdir(files)
    await writeFile(join(files, 'notes.md'), '# Notes\n')
    await writeFile(join(files, 'empty.bin'), '')
    const typed = ['--artifact-type', 'application/vnd.example.notes']
    await run('oras', ['push', '--plain-http', ...typed, artifact, 'notes.md:text/markdown', 'empty.bin'], {
      folder: files
    })
    await oras('pull', '--output', join(folder, 'pulled'), artifact)
    await assertSameFiles(join(folder, 'pulled'), files)
    await registry.everything('oras/artifact', 'v1')
    subject = (await registry.manifest('oras/artifact', 'v1')).digest
  })
  await check('attaches artifacts and discovers them', async () => {
    for (const kind of ['sbom', 'scan']) {
      const args = ['--artifact-type', `application/vnd.example.${kind}`, artifact, 'notes.md:text/markdown']
      await run('oras', ['attach', '--plain-http', ...args], { folder: files })
    }
    const found = await registry.referrers('oras/artifact', subject)
    const types = ['application/vnd.example.sbom', 'application/vnd.example.scan']
    assert.deepEqual(found.map(referrer => referrer.artifactType).sort(), types)
    const tree = await oras('discover', '--format', 'json', artifact)
    for (const { digest } of found) assert.ok(tree.includes(digest), `${digest} is not discovered`)
    const sbom = JSON.parse(await oras('discover', '--format', 'json', '--artifact-type', types[0]!, artifact)) as {
      referrers: { artifactType: string }[]
    }
    assert.deepEqual(
      sbom.referrers.map(referrer => referrer.artifactType),
      types.slice(0, 1)
    )
  })
  await check('copies an artifact with its referrers', async () => {
    const flags = ['--recursive', '--from-plain-http', '--to-plain-http']
    await run('oras', ['cp', ...flags, artifact, `${host}/oras/copy:v1`])
    await registry.everything('oras/copy', 'v1')
    const digests = async (repository: string) =>
      (await registry.referrers(repository, subject)).map(referrer => referrer.digest).sort()
    assert.deepEqual(await digests('oras/copy'), await digests('oras/artifact'))
    for (const digest of await digests('oras/copy')) await registry.everything('oras/copy', digest)
  })
  await check('copies an index from an OCI layout and back', async () => {
    await run('oras', [
      'cp',
      '--from-oci-layout',
      '--to-plain-http',
      `${samples.layout}:multi`,
      `${host}/oras/multi:v1`
    ])
    await client.assertPushed('oras/multi', 'v1', samples.multi.digest)
    const back = join(folder, 'back')
    await run('oras', ['cp', '--from-plain-http', '--to-oci-layout', `${host}/oras/multi:v1`, `${back}:v1`])
    await client.assertPulled(back, samples.multi.digest)
  })
  await check('pushes and fetches a blob', async () => {
    const bytes = await readFile(join(samples.files, 'hello'))
    const pushed = await oras('blob push', '--descriptor', `${host}/oras/blobs`, join(samples.files, 'hello'))
    const { digest } = JSON.parse(pushed) as { digest: string }
    assert.ok(bytes.equals(await registry.blob('oras/blobs', digest)))
    const fetched = join(folder, 'fetched')
    await oras('blob fetch', '--output', fetched, `${host}/oras/blobs@${digest}`)
    assert.ok(bytes.equals(await readFile(fetched)))
  })
  await check('fetches a manifest', async () => {
    const { bytes } = await registry.manifest('oras/artifact', 'v1')
    assert.ok(bytes.equals(await output('oras', ['manifest', 'fetch', '--plain-http', artifact])))
    assert.equal(parseManifest(bytes).layers?.length, 2)
  })
  await check('tags, lists tags and repositories', async () => {
    await oras('tag', artifact, 'v2', 'v3')
    assert.equal(await oras('repo tags', `${host}/oras/artifact`), 'v1\nv2\nv3')
    const repositories = (await oras('repo ls', host)).split('\n').filter(name => name.startsWith('oras/'))
    assert.deepEqual(repositories, ['oras/artifact', 'oras/blobs', 'oras/copy', 'oras/multi'])
  })
  await check('deletes a manifest', async () => {
    await oras('manifest delete', '--force', artifact)
    for (const reference of [subject, 'v1', 'v2', 'v3']) await registry.absent('oras/artifact', reference)
  })
}
