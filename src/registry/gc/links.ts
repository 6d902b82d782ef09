import type { Digest } from '../digest.ts'
import { blobsOf, parseFolderDigest } from '../keys.ts'
import { type AgedKey, aged, batches, chunksOf, grouped, surplus } from './listing.ts'
import { readManifests } from './manifests.ts'
import type { Round } from './round.ts'

interface Picked {
  /** Links older than the grace. */
  old: string[]
  /** Those of them that a newer link stands for. */
  surplus: string[]
}

/**
 * Takes links that are older than the grace and that no manifest of the repository needs (docs/storage.md,
 * "Collecting"): all of a blob that no manifest names, and of any other all that a newer one stands for. Throws
 * `internal` before anything goes when a manifest can't be read.
 */
export async function collectLinks(round: Round, name: string): Promise<void> {
  const blobs = grouped(aged(round, blobsOf(name)), ({ key }) => parseFolderDigest(key))
  for await (const batch of batches(pickFrom(blobs, round.graceMs), round.batch)) {
    const going = await unneeded(round, name, new Map(batch))
    for await (const links of chunksOf(round, going)) {
      await round.orphans.unlink(links)
      round.report.links += links.length
    }
  }
}

async function* pickFrom(blobs: AsyncIterable<[Digest, AgedKey[]]>, graceMs: number): AsyncGenerator<[Digest, Picked]> {
  for await (const [digest, links] of blobs) {
    const old = links.filter(({ ageMs }) => ageMs > graceMs).map(({ key }) => key)
    if (old.length > 0) yield [digest, { old, surplus: surplus(links, graceMs) }]
  }
}

/**
 * Manifests are read after the links were picked: whoever pushes one that is not seen here relies on its blobs later
 * than that, and so by links that are not picked.
 */
async function unneeded(round: Round, name: string, picked: Map<Digest, Picked>): Promise<string[]> {
  const named = new Set<Digest>()
  for await (const { manifest } of readManifests(round, name)) {
    for (const { digest } of manifest.references) if (picked.has(digest)) named.add(digest)
  }
  return [...picked].flatMap(([digest, { old, surplus }]) => (named.has(digest) ? surplus : old))
}
