import type { Digest } from '../digest.ts'
import { RegistryError } from '../errors.ts'
import { manifestsOf, parseFolderDigest, recordsOf } from '../keys.ts'
import { readRecord } from '../manifest-records.ts'
import { type Manifest, parseManifest } from '../manifest-schema.ts'
import { parallel } from '../parallel.ts'
import { findKept } from './kept.ts'
import { aged, batches, deleteAll, entries, grouped, PAGE } from './listing.ts'
import { type Round, WIDTH } from './round.ts'

export interface ReadManifest {
  digest: Digest
  manifest: Manifest
}

/**
 * Reads all manifests of a repository, one for each record: some may be of the same digest. Throws `internal` for one
 * that can't be read, since nobody knows then what it needs.
 */
export async function* readManifests(round: Round, name: string): AsyncGenerator<ReadManifest> {
  for await (const batch of batches(entries(round, manifestsOf(name)), WIDTH)) {
    await round.pace()
    for (const read of await parallel(batch, WIDTH, ({ key }) => readOne(round, name, key))) if (read) yield read
  }
}

/** Undefined: deleted since it was listed. */
async function readOne({ storage }: Round, name: string, key: string): Promise<ReadManifest | undefined> {
  const bytes = (await storage.get(key))?.bytes
  if (!bytes) return undefined
  const digest = parseFolderDigest(key)
  try {
    const record = readRecord(digest, bytes)
    if (!record) throw new Error('it is damaged')
    return { digest, manifest: parseManifest(record.bytes, record.mediaType) }
  } catch (cause) {
    const message = `the manifest ${name}@${digest} can not be read, so nothing that it may need is collected`
    throw new RegistryError('internal', {}, { message, cause })
  }
}

/** Takes records that a newer one stands for and, with `untagged`, manifests that nothing keeps. */
export async function collectManifests(round: Round, name: string, untagged: boolean): Promise<void> {
  const { graceMs, report } = round
  const picked = new Map<Digest, string[]>()
  const over: string[] = []
  for await (const [digest, records] of grouped(aged(round, manifestsOf(name)), ({ key }) => parseFolderDigest(key))) {
    // The first one says what the manifest is.
    const gone = records.slice(1).filter(({ ageMs }) => ageMs > graceMs)
    over.push(...gone.map(({ key }) => key))
    report.leftovers += gone.length
    if (untagged && records.every(({ ageMs }) => ageMs > graceMs)) {
      picked.set(
        digest,
        records.map(({ key }) => key)
      )
    }
    if (over.length >= PAGE) await deleteAll(round, over.splice(0))
  }
  await deleteAll(round, over)
  if (picked.size > 0) await collectUnkept(round, name, picked)
}

/**
 * Only now that records are picked it is looked what keeps them: who tags or lists a manifest later than that writes a
 * record that is not picked (docs/storage.md, "Collecting").
 */
async function collectUnkept(round: Round, name: string, picked: Map<Digest, string[]>): Promise<void> {
  const { kept, subjects } = await findKept(round, name, digest => picked.has(digest))
  for (const digest of kept.keys()) picked.delete(digest)
  // A subject goes before what refers to it: one that is pushed meanwhile is there again, and keeps its referrers.
  for (let left = [...picked.keys()]; left.length > 0; ) {
    const waiting = new Set(left)
    const wave = left.filter(digest => !waiting.has(subjects.get(digest)!))
    left = left.filter(digest => waiting.has(subjects.get(digest)!))
    if (wave.length === 0) return // no digest can be part of what it is the digest of, unless the store is damaged
    const stays = await parallel(wave, WIDTH, digest => hasSubject(round, name, subjects.get(digest), picked))
    const going = wave.filter((_, index) => !stays[index])
    for (const digest of wave) if (!going.includes(digest)) picked.delete(digest)
    await deleteAll(
      round,
      going.flatMap(digest => picked.get(digest)!)
    )
    round.report.manifests += going.length
  }
}

/** Whether a manifest's subject is there, apart from records that are on their way out. */
async function hasSubject(
  { storage }: Round,
  name: string,
  subject: Digest | undefined,
  picked: Map<Digest, string[]>
): Promise<boolean> {
  if (!subject) return false
  const going = picked.get(subject) ?? []
  return (await storage.list(recordsOf(name, subject))).some(({ key }) => !going.includes(key))
}
