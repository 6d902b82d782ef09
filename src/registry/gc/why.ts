import type { Digest } from '../digest.ts'
import { RegistryError } from '../errors.ts'
import {
  type BlobLink,
  blobsOf,
  linksOf,
  manifestsOf,
  orphanKey,
  parseFolderDigest,
  parseLink,
  recordsOf
} from '../keys.ts'
import { parallel } from '../parallel.ts'
import { findKept, type Keeper } from './kept.ts'
import { aged, entries, repositoryNames } from './listing.ts'
import { readManifests } from './manifests.ts'
import { type Round, WIDTH } from './round.ts'

/** What keeps a digest in its repository. Ages are ms. */
export interface Why {
  manifest?: ManifestFacts
  blob?: BlobFacts
}

export interface ManifestFacts {
  /** Of its newest record. */
  ageMs: number
  /** From what is kept by itself, a tag or its age, down to this manifest; empty: nothing keeps it. */
  keepers: Keeper[]
  tags: string[]
  /** Manifests that list it. */
  indexes: Digest[]
  subject: Digest | undefined
  referrers: Digest[]
}

export interface BlobFacts {
  size: number
  /** Of its newest link. */
  ageMs: number
  /** Manifests of the repository that name it. */
  manifests: Digest[]
  content: string
  /** Other repositories that link the same content. */
  elsewhere: string[]
  /** Of the entry that says that the content lost a link; undefined: there is none. */
  entryAgeMs: number | undefined
}

interface Named {
  naming: Digest[]
  referrers: Digest[]
  subject?: Digest | undefined
}

/** Says what keeps a manifest or a blob (it may be both). Throws `manifest-unknown` where the repository has neither. */
export async function findWhy(round: Round, name: string, digest: Digest): Promise<Why> {
  const recordAge = await youngest(round, recordsOf(name, digest))
  const link = await newestLink(round, name, digest)
  if (recordAge === undefined && !link) throw new RegistryError('manifest-unknown', { reference: digest })
  const named = await findNaming(round, name, digest)
  return {
    ...(recordAge !== undefined && { manifest: await manifestFacts(round, name, digest, recordAge, named) }),
    ...(link && { blob: await blobFacts(round, name, link, named) })
  }
}

async function youngest(round: Round, prefix: string): Promise<number | undefined> {
  let least: number | undefined
  for await (const { ageMs } of aged(round, prefix)) least = Math.min(ageMs, least ?? ageMs)
  return least
}

async function newestLink(round: Round, name: string, digest: Digest) {
  let newest: { key: string; ageMs: number } | undefined
  for await (const link of aged(round, linksOf(name, digest))) if (!newest || link.ageMs < newest.ageMs) newest = link
  return newest && { ...parseLink(newest.key), ageMs: newest.ageMs }
}

async function findNaming(round: Round, name: string, digest: Digest): Promise<Named> {
  const [naming, referrers] = [new Set<Digest>(), new Set<Digest>()]
  let subject: Digest | undefined
  for await (const { digest: other, manifest } of readManifests(round, name)) {
    if (manifest.references.some(reference => reference.digest === digest)) naming.add(other)
    if (manifest.subject === digest) referrers.add(other)
    if (other === digest) subject = manifest.subject
  }
  return { naming: [...naming], referrers: [...referrers], subject }
}

async function manifestFacts(
  round: Round,
  name: string,
  digest: Digest,
  ageMs: number,
  { naming, referrers, subject }: Named
): Promise<ManifestFacts> {
  const { tags } = round.registry
  const young = new Set<Digest>()
  for await (const { key, ageMs } of aged(round, manifestsOf(name))) {
    if (ageMs <= round.graceMs) young.add(parseFolderDigest(key))
  }
  const { kept } = await findKept(round, name, other => !young.has(other))
  const tagged = (await tags.naming(name, digest)).map(([tag]) => tag)
  const resolved = await parallel(tagged, WIDTH, tag => tags.resolve(name, tag))
  return {
    ageMs,
    keepers: chainTo(digest, kept),
    tags: tagged.filter((_, index) => resolved[index]?.digest === digest),
    indexes: naming,
    subject,
    referrers
  }
}

function chainTo(digest: Digest, kept: Map<Digest, Keeper>): Keeper[] {
  const keeper = kept.get(digest)
  if (!keeper) return []
  if ('index' in keeper) return [...chainTo(keeper.index, kept), keeper]
  if ('subject' in keeper) return [...chainTo(keeper.subject, kept), keeper]
  return [keeper]
}

async function blobFacts(
  round: Round,
  name: string,
  { content, size, ageMs }: BlobLink & { ageMs: number },
  { naming }: Named
): Promise<BlobFacts> {
  const elsewhere: string[] = []
  for await (const other of repositoryNames(round)) {
    if (other !== name && (await links(round, other, content))) elsewhere.push(other)
  }
  const entryAgeMs = (await round.storage.stat(orphanKey(content)))?.ageMs
  return { size, ageMs, manifests: naming, content, elsewhere, entryAgeMs }
}

async function links(round: Round, name: string, content: string): Promise<boolean> {
  for await (const { key } of entries(round, blobsOf(name))) if (parseLink(key).content === content) return true
  return false
}
