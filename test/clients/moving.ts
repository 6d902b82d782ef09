/** The commands of docs/moving-in.md as they are written, from one registry to another. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { expect } from '../reliability/http.ts'
import { environment } from '../reliability/program.ts'
import { withScratch } from '../reliability/scratch.ts'
import { type ServerProcess, startServer } from '../reliability/server-process.ts'
import { blocksToRun } from '../support/documents.ts'
import { descriptor, digestOf, IMAGE, INDEX, imageOf, indexOf, json, random } from '../support/images.ts'
import { run } from './commands.ts'
import { createRegistry } from './registry.ts'

const TAGS = [
  ['team/app', 'v1'],
  ['team/app', 'many'],
  ['single', 'latest']
] as const

const hostOf = ({ url }: ServerProcess): string => url.replace('http://', '')

await withScratch(10, async (checks, { folder, storage, log }) => {
  const blocks = blocksToRun('docs/moving-in.md', 5).map(({ body }) => body)
  const [setting, withRegctl, withSkopeo, compareTags, compareDigest] = blocks

  const start = (name: string) => startServer({ storage: join(storage, name), log })
  const [old, forRegctl, forSkopeo] = [await start('old'), await start('regctl'), await start('skopeo')]
  const { image, signature } = await fill(old)
  const shell = async (to: ServerProcess, block: string) => {
    const set = setting!.replace('localhost:5001', hostOf(old)).replace('localhost:5000', hostOf(to))
    const options = { folder, env: environment({ HOME: folder }), seconds: 120 }
    return (await run('bash', ['-euo', 'pipefail', '-c', set + block], options)).toString()
  }
  const same = async (to: ServerProcess) => {
    assert.equal(await shell(to, compareTags!), '')
    assert.equal((await shell(to, compareDigest!)).trim(), '1')
    for (const [repository, tag] of TAGS) {
      const [source, copy] = [createRegistry(old.url), createRegistry(to.url)]
      assert.deepEqual(await copy.everything(repository, tag), await source.everything(repository, tag), repository)
    }
  }

  await checks.check('regctl takes all, with what refers to it, and may be run again', async () => {
    await shell(forRegctl, withRegctl!)
    await same(forRegctl)
    const [referrer] = await createRegistry(forRegctl.url).referrers('team/app', image)
    assert.equal(referrer?.digest, signature)
    await shell(forRegctl, withRegctl!)
    await same(forRegctl)
    return undefined
  })
  await checks.check('skopeo takes all tags with all platforms', async () => {
    await shell(forSkopeo, withSkopeo!)
    await same(forSkopeo)
    assert.deepEqual(await createRegistry(forSkopeo.url).referrers('team/app', image), [], 'as the document says')
    return undefined
  })
  await checks.check('what differs is told', async () => {
    await fillTag(old, 'single', 'later')
    await assert.rejects(shell(forRegctl, compareTags!), /single:later/)
    return undefined
  })
})

/** Two repositories, one of them below a path: an image with a signature, an index of two platforms, and one more. */
async function fill(server: ServerProcess): Promise<{ image: string; signature: string }> {
  const image = await pushImage(server, 'team/app', 'v1')
  const platforms = [image, await pushImage(server, 'team/app')]
  const entries = platforms.map((bytes, i) =>
    descriptor(bytes, IMAGE, { platform: { os: 'linux', architecture: ['amd64', 'arm64'][i] } })
  )
  await putManifest(server, 'team/app', 'many', json(indexOf(entries)), INDEX)
  const signed = await pushImage(server, 'team/app', undefined, {
    artifactType: 'application/vnd.example.signature',
    subject: descriptor(image, IMAGE)
  })
  await fillTag(server, 'single', 'latest')
  return { image: digestOf(image), signature: digestOf(signed) }
}

async function fillTag(server: ServerProcess, repository: string, tag: string): Promise<void> {
  await pushImage(server, repository, tag)
}

async function pushImage(server: ServerProcess, repository: string, tag?: string, more: object = {}): Promise<Buffer> {
  const layer = random(5000)
  const diff = `sha256:${createHash('sha256').update(layer).digest('hex')}`
  const config = json({ architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [diff] } })
  for (const bytes of [config, layer]) {
    const url = `${server.url}/v2/${repository}/blobs/uploads/?digest=${digestOf(bytes)}`
    await expect(201, url, { method: 'POST', body: bytes, headers: { 'content-type': 'application/octet-stream' } })
  }
  const manifest = json(imageOf(config, [layer], more))
  await putManifest(server, repository, tag ?? digestOf(manifest), manifest, IMAGE)
  return manifest
}

async function putManifest(
  server: ServerProcess,
  repository: string,
  reference: string,
  body: Buffer,
  type: string
): Promise<void> {
  const url = `${server.url}/v2/${repository}/manifests/${reference}`
  await expect(201, url, { method: 'PUT', body, headers: { 'content-type': type } })
}
