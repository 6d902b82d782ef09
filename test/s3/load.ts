import assert from 'node:assert/strict'
import { digestOf, seededBuffer } from '../reliability/bytes.ts'
import { expect, locationOf } from '../reliability/http.ts'
import type { Stored } from '../reliability/pushes.ts'

/*
 * Kinds of load to be put on the registry at the same time. Each works in repositories of its own, throws at the first
 * answer that is not the one wanted, and returns how to check at any server what must be so in the end.
 */

export type Verify = (url: string) => Promise<void>

const mebibyte = 1 << 20
const manifestType = 'application/vnd.oci.image.manifest.v1+json'
const empty = Buffer.from('{}')
const config = { mediaType: 'application/vnd.oci.empty.v1+json', digest: digestOf(empty), size: empty.length }

/** Uploads whose every chunk is a request of its own, small ones and parts of a multipart upload. */
export async function chunkedUploads(url: string): Promise<Verify> {
  const sizes = [1000, 300_000, 2 * mebibyte, 6 * mebibyte, 9 * mebibyte]
  const uploads = await Promise.all(sizes.map((size, seed) => chunkedUpload(url, seed, size)))
  // Which replica a request gets depends on the others that are made: one upload may by chance miss one of them.
  for (const { replicas } of uploads) assert.ok(replicas.size > 1, 'the chunks of an upload are spread')
  assert.equal(new Set(uploads.flatMap(({ replicas }) => [...replicas])).size, 3, 'every replica takes chunks')
  const stored = uploads.map(upload => upload.stored)
  return async at => {
    for (const { path, digest } of stored) assert.equal(digestOf((await expect(200, at + path)).body), digest)
  }
}

interface SpreadUpload {
  stored: Stored
  /** The replicas that took its chunks. */
  replicas: Set<unknown>
}

async function chunkedUpload(url: string, seed: number, chunk: number): Promise<SpreadUpload> {
  const bytes = seededBuffer(seed, 9 * chunk + seed)
  const digest = digestOf(bytes)
  const replicas = new Set<unknown>()
  let answer = await expect(202, `${url}/v2/chunked/blobs/uploads/`, { method: 'POST' })
  for (let from = 0; from < bytes.length; from += chunk) {
    const body = bytes.subarray(from, from + chunk)
    const headers = { 'content-range': `${from}-${from + body.length - 1}` }
    answer = await expect(202, locationOf(answer, url), { method: 'PATCH', headers, body })
    replicas.add(answer.headers['x-replica'])
  }
  await expect(201, locationOf(answer, url, { digest }), { method: 'PUT' })
  return { stored: { path: `/v2/chunked/blobs/${digest}`, digest }, replicas }
}

/** Several clients move the same tags; who wins is open between moves that met, but not otherwise. */
export async function tagMoves(url: string): Promise<Verify> {
  const repository = '/v2/tags'
  await pushEmpty(url + repository)
  const moves: { tag: string; digest: string; begun: number; ended: number }[] = []
  const client = async (number: number) => {
    for (let move = 0; move < 40; move++) {
      const tag = `moving-${(number + move) % 3}`
      const { bytes, digest } = manifestOf(`${number}/${move}`)
      const begun = performance.now()
      await putManifest(`${url}${repository}/manifests/${tag}`, bytes)
      moves.push({ tag, digest, begun, ended: performance.now() })
    }
  }
  await Promise.all([0, 1, 2, 3, 4].map(client))
  return async at => {
    for (const tag of ['moving-0', 'moving-1', 'moving-2']) {
      const digest = digestOf((await expect(200, `${at}${repository}/manifests/${tag}`)).body)
      const named = moves.find(move => move.tag === tag && move.digest === digest)
      assert.ok(named, `${tag} names what nobody moved it to`)
      const later = moves.filter(move => move.tag === tag && move.begun > named.ended)
      assert.equal(later.length, 0, `${tag} names what was moved on ${later.length} times after`)
    }
    for (const { digest } of moves) await expect(200, `${at}${repository}/manifests/${digest}`)
  }
}

/** Manifests that are pushed, tagged and deleted, some of them pushed again, beside some that stay. */
export async function deletions(url: string): Promise<Verify> {
  const repository = '/v2/deleted'
  await pushEmpty(url + repository)
  const there: string[] = []
  const gone: string[] = []
  const remove = (path: string) => expect(202, `${url}${repository}${path}`, { method: 'DELETE' })
  const lives = async (number: number) => {
    const { bytes, digest } = manifestOf(`deletions ${number}`)
    const [byTag, byDigest] = [`/manifests/tag-${number}`, `/manifests/${digest}`]
    await putManifest(`${url}${repository}${byTag}`, bytes)
    if (number % 4 === 0) return there.push(byTag, byDigest)
    if (number % 4 === 1) {
      await remove(byTag)
      gone.push(byTag)
      return there.push(byDigest)
    }
    await remove(byDigest)
    if (number % 4 === 2) return gone.push(byTag, byDigest)
    await putManifest(`${url}${repository}${byDigest}`, bytes)
    gone.push(byTag)
    return there.push(byDigest)
  }
  await Promise.all(Array.from({ length: 60 }, (_, number) => lives(number)))
  return async at => {
    for (const path of there) await expect(200, `${at}${repository}${path}`)
    for (const path of gone) await expect(404, `${at}${repository}${path}`)
    const { tags } = JSON.parse((await expect(200, `${at}${repository}/tags/list`)).body.toString()) as {
      tags: string[]
    }
    const tagged = there.flatMap(path => /tag-\d+$/.exec(path) ?? [])
    assert.deepEqual(tags, tagged.sort())
  }
}

/** Many refer to one manifest, which is pushed among them; a third is deleted again. */
export async function referrers(url: string): Promise<Verify> {
  const repository = '/v2/referred'
  await pushEmpty(url + repository)
  const subject = manifestOf('subject')
  const kept: string[] = []
  const refer = async (number: number) => {
    const { bytes, digest } = manifestOf(`referrer ${number}`, subject)
    await putManifest(`${url}${repository}/manifests/${digest}`, bytes)
    if (number % 3 > 0) kept.push(digest)
    else await expect(202, `${url}${repository}/manifests/${digest}`, { method: 'DELETE' })
  }
  const referring = Array.from({ length: 60 }, (_, number) => refer(number))
  await Promise.all([...referring, putManifest(`${url}${repository}/manifests/subject`, subject.bytes)])
  return async at => {
    const { body } = await expect(200, `${at}${repository}/referrers/${subject.digest}`)
    const { manifests } = JSON.parse(body.toString()) as { manifests: { digest: string }[] }
    assert.deepEqual(manifests.map(({ digest }) => digest).sort(), kept.sort())
    for (const digest of kept) await expect(200, `${at}${repository}/manifests/${digest}`)
  }
}

interface Small {
  bytes: Buffer
  digest: string
}

function manifestOf(title: string, subject?: Small): Small {
  const manifest = {
    schemaVersion: 2,
    mediaType: manifestType,
    artifactType: 'application/vnd.example.load',
    config,
    layers: [config],
    ...(subject && { subject: { mediaType: manifestType, digest: subject.digest, size: subject.bytes.length } }),
    annotations: { title }
  }
  const bytes = Buffer.from(JSON.stringify(manifest))
  return { bytes, digest: digestOf(bytes) }
}

async function pushEmpty(repository: string): Promise<void> {
  await expect(201, `${repository}/blobs/uploads/?digest=${config.digest}`, { method: 'POST', body: empty })
}

async function putManifest(url: string, body: Buffer): Promise<void> {
  await expect(201, url, { method: 'PUT', headers: { 'content-type': manifestType }, body })
}
