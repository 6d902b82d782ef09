import type { Digest } from '../digest.ts'
import { type AgedKey, batches, grouped } from '../gc/listing.ts'
import { blobsOf, linksOf, manifestsOf, parseFolderDigest, parseLink, recordsOf, referrerKeys } from '../keys.ts'
import { readRecord } from '../manifest-records.ts'
import { type Manifest, type ManifestReference, parseManifest } from '../manifest-schema.ts'
import { parallel } from '../parallel.ts'
import { type Check, keysOf, SETTLED_MS, WIDTH } from './check.ts'

interface Whole {
  digest: Digest
  manifest: Manifest
  size: number
  /** Of its eldest record, in ms. */
  ageMs: number
}

/** What some manifests need, by digest and size, and one that needs it. */
type Needs = Map<Digest, Map<number, { by: Digest; kind: ManifestReference['kind'] }>>

/** Reads every manifest of a repository, and looks for what each needs there and for its word to its subject. */
export async function checkManifests(check: Check, name: string): Promise<void> {
  const needs: Needs = new Map()
  const groups = grouped(keysOf(check, name, manifestsOf(name)), ({ key }) => parseFolderDigest(key))
  for await (const batch of batches(groups, WIDTH)) {
    const read = await parallel(batch, WIDTH, ([digest, records]) => readWhole(check, name, digest, records))
    for (const whole of read.flatMap(one => one ?? [])) {
      check.report.manifests++
      for (const reference of whole.manifest.references) need(check, needs, whole.digest, reference)
      await checkSubject(check, name, whole)
    }
    if (needs.size >= check.batch) await checkNeeds(check, name, needs)
  }
  await checkNeeds(check, name, needs)
}

/** The manifest as its first good record has it. A damaged record beside a good one is not needed. */
async function readWhole(check: Check, name: string, digest: Digest, records: AgedKey[]): Promise<Whole | undefined> {
  const damaged: string[] = []
  let whole: Whole | undefined
  let there = false
  for (const { key } of records) {
    const bytes = (await check.storage.get(key))?.bytes
    if (!bytes) continue // deleted since the listing
    const record = readRecord(digest, bytes)
    if (!record) damaged.push(key)
    else {
      there = true
      const manifest = parsed(record.bytes, record.mediaType)
      const ageMs = Math.max(...records.map(record => record.ageMs))
      if (manifest) whole ??= { digest, manifest, size: record.bytes.length, ageMs }
    }
  }
  const fault = { kind: 'manifest-damaged', repository: name, digest } as const
  const mend = there ? () => check.storage.delete(damaged) : undefined
  if (damaged.length > 0) await check.found({ ...fault, message: 'the stored manifest is not what was pushed' }, mend)
  if (there && !whole) await check.found({ ...fault, message: 'the manifest is none that this version can read' })
  return whole
}

function parsed(bytes: Buffer, mediaType: string): Manifest | undefined {
  try {
    return parseManifest(bytes, mediaType)
  } catch {
    return undefined
  }
}

/** Notes what may not be missing: by the same rule as where a manifest is pushed. */
function need({ sparse }: Check, needs: Needs, by: Digest, { digest, size, kind, required }: ManifestReference): void {
  if (!required || sparse === 'all' || (sparse === 'index' && kind === 'entry')) return
  const sizes = needs.get(digest) ?? new Map()
  needs.set(digest, sizes.set(size, { by, kind }))
}

/** Looks for what is needed among the links, and for entries of an index among the manifests; empties `needs`. */
async function checkNeeds(check: Check, name: string, needs: Needs): Promise<void> {
  const wrong: Needs = new Map()
  for await (const { key } of keysOf(check, name, blobsOf(name))) {
    const digest = parseFolderDigest(key)
    const sizes = needs.get(digest)
    if (!sizes) continue
    sizes.delete(parseLink(key).size)
    if (sizes.size > 0) wrong.set(digest, sizes)
    needs.delete(digest)
  }
  for await (const { key } of keysOf(check, name, manifestsOf(name))) needs.delete(parseFolderDigest(key))
  if (check.sizeCheck === 'strict') for (const [digest, sizes] of wrong) await tellWrong(check, name, digest, sizes)
  for (const [digest, sizes] of needs) await tellMissing(check, name, digest, sizes)
  needs.clear()
}

type Sizes = Needs extends Map<Digest, infer S> ? S : never

async function tellWrong(check: Check, name: string, digest: Digest, sizes: Sizes): Promise<void> {
  const links = (await check.storage.list(linksOf(name, digest))).map(({ key }) => parseLink(key).size)
  for (const [size, { by }] of sizes) {
    if (links.includes(size)) continue
    const message = `${by} needs it in ${size} bytes, the repository has ${links.join(' and ')}`
    await check.found({ kind: 'size-wrong', repository: name, digest, message })
  }
}

/** Looks once more, at this alone: a link may have been written anew while they were listed. */
async function tellMissing(check: Check, name: string, digest: Digest, sizes: Sizes): Promise<void> {
  const isThere = async (prefix: string) => (await check.storage.list(prefix, { limit: 1 })).length > 0
  for (const { by, kind } of sizes.values()) {
    if (!(await isThere(recordsOf(name, by)))) continue
    if (await isThere(linksOf(name, digest))) continue
    if (kind === 'entry' && (await isThere(recordsOf(name, digest)))) continue
    const what = kind === 'entry' ? 'manifest' : 'blob'
    await check.found({
      kind: `${what}-missing`,
      repository: name,
      digest,
      message: `${by} needs this ${what}, and it is not there`
    })
  }
}

/** A manifest with a subject stands among the subject's referrers. */
async function checkSubject(check: Check, name: string, { digest, manifest, size, ageMs }: Whole): Promise<void> {
  const { subject, artifactType } = manifest
  if (!subject || ageMs < SETTLED_MS) return
  if ((await check.storage.list(referrerKeys(name, subject, { digest, artifactType }), { limit: 1 })).length > 0) return
  if ((await check.storage.list(recordsOf(name, digest), { limit: 1 })).length === 0) return
  const message = `it refers to ${subject} and is not among its referrers`
  await check.found({ kind: 'referrer-missing', repository: name, digest, message }, () =>
    check.registry.referrers.add(name, subject, { digest, manifest, size })
  )
}
