import type { Digest } from '../digest.ts'
import { parseTagKey, parseTagOfValue, tagsOf } from '../keys.ts'
import { entries, grouped } from './listing.ts'
import { readManifests } from './manifests.ts'
import type { Round } from './round.ts'

/** What keeps a manifest: a tag, an index that lists it, its subject (each kept itself), or that it is young. */
export type Keeper = { tag: string } | { index: Digest } | { subject: Digest } | { young: true }

export interface Kept {
  kept: Map<Digest, Keeper>
  /** The subject of each manifest that has one. */
  subjects: Map<Digest, Digest>
}

/**
 * Finds the manifests of a repository that something keeps. `isOld` tells which are older than the grace. A tag keeps
 * what it names, an index its entries, a manifest what refers to it; a referrer does not keep its subject.
 */
export async function findKept(round: Round, name: string, isOld: (digest: Digest) => boolean): Promise<Kept> {
  const kept = new Map<Digest, Keeper>()
  const queue: Digest[] = []
  const keep = (digest: Digest, keeper: Keeper): void => {
    if (kept.has(digest)) return
    kept.set(digest, keeper)
    queue.push(digest)
  }
  for await (const [tag, [first]] of grouped(entries(round, tagsOf(name)), ({ key }) => parseTagOfValue(key))) {
    keep(parseTagKey(first!.key).digest, { tag })
  }

  const children = new Map<Digest, Digest[]>()
  const referrers = new Map<Digest, Digest[]>()
  const subjects = new Map<Digest, Digest>()
  for await (const { digest, manifest } of readManifests(round, name)) {
    if (!isOld(digest)) keep(digest, { young: true })
    const entries = manifest.references.filter(({ kind }) => kind === 'entry').map(({ digest }) => digest)
    // Version 0.1 may have kept the same bytes as two types, of which each names something else.
    if (entries.length > 0) children.set(digest, (children.get(digest) ?? []).concat(entries))
    if (!manifest.subject || subjects.has(digest)) continue // one more record of it
    subjects.set(digest, manifest.subject)
    const others = referrers.get(manifest.subject)
    if (others) others.push(digest)
    else referrers.set(manifest.subject, [digest])
  }

  for (let digest = queue.pop(); digest; digest = queue.pop()) {
    for (const child of children.get(digest) ?? []) keep(child, { index: digest })
    for (const referrer of referrers.get(digest) ?? []) keep(referrer, { subject: digest })
  }
  return { kept, subjects }
}
