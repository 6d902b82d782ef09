import { parseDigest } from '../digest.ts'
import {
  blobsOf,
  CONTENTS,
  contentKey,
  ORPHANS,
  orphanKey,
  parseContentKey,
  parseLink,
  parseOrphanKey
} from '../keys.ts'
import { GONE } from '../orphans.ts'
import { parallel } from '../parallel.ts'
import { batches, chunksOf, entries, repositoryNames } from './listing.ts'
import { pastFull } from './room.ts'
import { type Round, WIDTH } from './round.ts'

/** What else lies in the folder is not ours. */
const CONTENT_ID = /^[\w-]+$/

/** `ripe`: its entry is older than the grace. `unmarked`: there is content and no entry. */
type Candidate = 'ripe' | 'unmarked'

/**
 * Takes content that no link of any repository names (docs/storage.md, "Collecting"): first it gets an entry, a grace
 * later it goes, and a grace after it the entry.
 */
export async function collectContents(round: Round): Promise<void> {
  for await (const batch of batches(candidatesOf(round), round.batch)) {
    const candidates = new Map(batch)
    const begun = round.now()
    const named: string[] = []
    for await (const content of linkedContents(round)) {
      if (candidates.get(content) === 'ripe') named.push(content)
      candidates.delete(content)
    }
    await forgive(round, named, begun)
    const left = (wanted: Candidate) => [...candidates].flatMap(([content, is]) => (is === wanted ? [content] : []))
    for await (const contents of chunksOf(round, left('ripe'))) await take(round, contents, begun)
    for await (const contents of chunksOf(round, left('unmarked'))) await mark(round, contents)
  }
}

/** Merges the contents and the entries, both in the order of their ids. Content whose entry is young is none. */
async function* candidatesOf(round: Round): AsyncGenerator<[content: string, Candidate]> {
  const marks = entries(round, ORPHANS, { ages: true })
  let mark = await marks.next()
  for await (const { key } of entries(round, CONTENTS)) {
    const content = parseContentKey(key)
    if (!CONTENT_ID.test(content)) continue
    let marked = false
    for (; !mark.done && parseOrphanKey(mark.value.key) <= content; mark = await marks.next()) {
      marked = parseOrphanKey(mark.value.key) === content
      if (mark.value.ageMs! > round.graceMs) yield [parseOrphanKey(mark.value.key), 'ripe']
    }
    if (!marked) yield [content, 'unmarked']
  }
  for (; !mark.done; mark = await marks.next()) {
    if (mark.value.ageMs! > round.graceMs) yield [parseOrphanKey(mark.value.key), 'ripe']
  }
}

/** What links name, in all repositories: their keys tell it, so nothing is read. */
async function* linkedContents(round: Round): AsyncGenerator<string> {
  for await (const name of repositoryNames(round)) {
    for await (const { key } of entries(round, blobsOf(name))) yield parseLink(key).content
  }
}

/**
 * Takes away the entries of contents that a link names. Not long after the listing began: a link that it saw may go
 * right after, and from then on the entry must stay, which was written anew for it.
 */
async function forgive(round: Round, contents: string[], begun: number): Promise<void> {
  for await (const chunk of chunksOf(round, contents)) {
    if (round.now() - begun > round.graceMs / 2) return
    await round.storage.delete(chunk.map(orphanKey))
  }
}

/** Takes contents that no link named, and the entries of those that went a grace ago. */
async function take(round: Round, contents: string[], begun: number): Promise<void> {
  const { storage, report } = round
  const found = (await parallel(contents, WIDTH, content => lookAgain(round, content, begun))).flatMap(one => one ?? [])
  const spent = found.filter(({ note, size }) => note === GONE && size === undefined)
  await storage.delete(spent.map(({ content }) => orphanKey(content)))

  const going = found.filter(one => !spent.includes(one))
  const stored = going.filter(({ size }) => size !== undefined)
  await storage.delete(stored.map(({ content }) => contentKey(content)))
  for (const { size = 0 } of stored) report.bytes += size
  report.contents += stored.length
  // The hint is found through the entry's digest, so it goes before the entry says that all is gone. Writing that makes
  // the entry young again: it goes a grace after the content, since some look at the content first and then for it.
  await parallel(going, WIDTH, async ({ content, note }) => {
    if (note !== '' && note !== GONE) await round.registry.blobs.dropHint(parseDigest(note), content)
    // An entry that stays as it was is taken for the next time.
    await pastFull(storage.put(orphanKey(content), Buffer.from(GONE), { reserve: true }))
  })
}

interface Marked {
  content: string
  /** The digest, `GONE`, or nothing where the digest is not known. */
  note: string
  /** Undefined: the content is gone. */
  size: number | undefined
}

/**
 * Undefined: the entry is not as old as it was. A link that went while links were listed may have been overlooked, with
 * another of the same content; its loss was written to the entry.
 */
async function lookAgain(
  { storage, graceMs, now }: Round,
  content: string,
  begun: number
): Promise<Marked | undefined> {
  const entry = await storage.get(orphanKey(content))
  if (!entry || entry.ageMs - (now() - begun) <= graceMs) return undefined
  const size = (await storage.stat(contentKey(content)))?.size
  return { content, note: entry.bytes.toString(), size }
}

/**
 * Gives an entry to content that has neither that nor a link: its upload died before it was linked, or is about to link
 * it, and that still holds then (`Orphans.mayLink`).
 */
async function mark({ storage, graceMs }: Round, contents: string[]): Promise<void> {
  await parallel(contents, WIDTH, async content => {
    const stored = await storage.stat(contentKey(content))
    // Content of an open upload is not content yet: the upload is gone on with, or expires.
    if (!stored || stored.ageMs <= graceMs || (await storage.upload(content))) return
    await pastFull(storage.put(orphanKey(content), Buffer.alloc(0), { ifAbsent: true }))
  })
}
