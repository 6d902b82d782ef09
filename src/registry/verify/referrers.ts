import type { Digest } from '../digest.ts'
import { RegistryError } from '../errors.ts'
import { type AgedKey, batches, grouped } from '../gc/listing.ts'
import {
  allReferrersOf,
  parseFolderDigest,
  parseReferrer,
  parseReferrerKeys,
  parseReferrerSize,
  referrerKeys
} from '../keys.ts'
import { type Manifest, parseManifest } from '../manifest-schema.ts'
import { parallel } from '../parallel.ts'
import { descriptorOf } from '../referrers.ts'
import { type Check, keysOf, SETTLED_MS, WIDTH } from './check.ts'

/** Looks whether every referrer has its manifest, and tells what that says. */
export async function checkReferrers(check: Check, name: string): Promise<void> {
  const groups = grouped(keysOf(check, name, allReferrersOf(name)), ({ key }) => parseReferrerKeys(key))
  for await (const batch of batches(groups, WIDTH)) {
    await parallel(batch, WIDTH, ([, keys]) => checkReferrer(check, name, keys))
    check.report.referrers += batch.length
  }
}

async function checkReferrer(check: Check, name: string, keys: AgedKey[]): Promise<void> {
  const { storage, registry, graceMs } = check
  const [{ key, ageMs }] = keys as [AgedKey]
  const [subject, digest] = [parseFolderDigest(key), parseReferrer(key)]
  const fault = { repository: name, digest } as const
  const drop = () => storage.delete(keys.map(({ key }) => key))
  const stored = await storage.get(key)
  if (!stored || ageMs < SETTLED_MS) return

  const found = await manifestOf(check, name, digest)
  if (found === 'unreadable') return // told where manifests are read
  if (!found) {
    const message = `it stands among the referrers of ${subject} and is not there`
    return check.found({ ...fault, kind: 'referrer-dangling', message }, ageMs > graceMs ? drop : undefined)
  }
  const { manifest, size } = found
  if (manifest.subject !== subject) {
    const message = `it stands among the referrers of ${subject} and does not refer to it`
    return check.found({ ...fault, kind: 'referrer-wrong', message }, drop)
  }
  const descriptor = descriptorOf(digest, manifest, size)
  const named = key.startsWith(referrerKeys(name, subject, { digest, artifactType: manifest.artifactType }))
  const right = named && parseReferrerSize(key) === descriptor.length
  if (right && stored.bytes.equals(descriptor)) return
  const message = `the referrers of ${subject} tell something else of it than it does`
  await check.found({ ...fault, kind: 'referrer-wrong', message }, async () => {
    await registry.referrers.add(name, subject, { digest, manifest, size })
    if (!right) await drop()
  })
}

async function manifestOf(
  { registry }: Check,
  name: string,
  digest: Digest
): Promise<{ manifest: Manifest; size: number } | 'unreadable' | undefined> {
  try {
    const { bytes, mediaType } = await registry.manifests.get(name, { digest }, () => true)
    return { manifest: parseManifest(bytes, mediaType), size: bytes.length }
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error
    return error.kind === 'manifest-unknown' ? undefined : 'unreadable'
  }
}
