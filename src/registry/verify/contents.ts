import { createHash } from 'node:crypto'
import { StorageError } from '../../storage/driver.ts'
import { type Algorithm, algorithmOf, type Digest, digestOf } from '../digest.ts'
import { blobsOf, contentKey, parseFolderDigest, parseLink } from '../keys.ts'
import { parallel } from '../parallel.ts'
import { type Check, keysOf, wantedNames } from './check.ts'
import type { FaultKind } from './fault.ts'
import { createMender } from './relink.ts'

/** Contents are read so many at a time: a processor hashes as fast as a disk reads. */
const WIDTH = 2
/** Held before the greatest ids are let go: seldom enough to be cheap. */
const SLACK = 1.25
/** Contents that are read before it is told which were bad, and their bytes at most. */
const CHUNK = 1000
const CHUNK_BYTES = 16 * 1024 ** 3

/** A content, and what links say that it is. */
interface Claimed {
  content: string
  /** With the size in bytes; not a number where links contradict each other. */
  digests: Map<Digest, number>
}

export interface Verdict {
  kind: FaultKind
  message: string
  /** The bytes are right and have this size: what is wrong is that a link tells another. */
  size?: number
}

/** Verdicts over bad contents, for each digest that they are linked by. */
export type Bad = Map<string, Map<Digest, Verdict>>

/**
 * Reads what links name, in the order of the ids and so each content once, however many repositories link it, and
 * compares it with its digest. `after` is the content to begin behind. `reached` is told how far all is done.
 */
export async function checkContents(check: Check, after: string, reached: (content: string) => void): Promise<void> {
  const mender = createMender(check, (content, digest, size) => isWhole(check, content, digest, size))
  for (let last = after; ; ) {
    const claimed = await leastClaimed(check, last)
    if (claimed.length === 0) return
    for (const chunk of chunksBySize(claimed)) {
      const bad: Bad = new Map()
      await parallel(chunk, WIDTH, async ({ content, digests }) => {
        await check.pace()
        const { verdicts, size } = await judge(check, content, digests)
        if (verdicts.size > 0) bad.set(content, verdicts)
        if (size === undefined) return
        check.report.contents++
        check.report.bytes += size
      })
      if (bad.size > 0) await mender.tell(bad)
      last = chunk.at(-1)!.content
      reached(last)
    }
  }
}

/** The contents with the least ids after this one, `batch` at most, as the links of all repositories name them. */
async function leastClaimed(check: Check, after: string): Promise<Claimed[]> {
  const claimed = new Map<string, Map<Digest, number>>()
  let most: string | undefined
  const cut = (): void => {
    const over = [...claimed.keys()].sort().slice(check.batch)
    for (const content of over) claimed.delete(content)
    if (over.length > 0) most = over[0]
  }
  for await (const name of wantedNames(check)) {
    for await (const { key } of keysOf(check, name, blobsOf(name))) {
      const { content, size } = parseLink(key)
      if (content <= after || (most !== undefined && content >= most)) continue
      const digests = claimed.get(content) ?? new Map()
      const digest = parseFolderDigest(key)
      const agreed = (digests.get(digest) ?? size) === size
      claimed.set(content, digests.set(digest, agreed ? size : Number.NaN))
      if (claimed.size >= SLACK * check.batch) cut()
    }
  }
  cut()
  return [...claimed.keys()].sort().map(content => ({ content, digests: claimed.get(content)! }))
}

function* chunksBySize(claimed: Claimed[]): Generator<Claimed[]> {
  let chunk: Claimed[] = []
  let bytes = 0
  for (const one of claimed) {
    chunk.push(one)
    bytes += Math.max(...one.digests.values())
    if (chunk.length < CHUNK && bytes < CHUNK_BYTES) continue
    yield chunk
    chunk = []
    bytes = 0
  }
  if (chunk.length > 0) yield chunk
}

interface Judged {
  /** What is wrong, for each digest that the content is linked by; empty: nothing. */
  verdicts: Map<Digest, Verdict>
  /** Bytes; undefined: it could not be read. */
  size?: number
}

async function judge(check: Check, content: string, digests: Map<Digest, number>): Promise<Judged> {
  const all = (verdict: Verdict): Judged => ({
    verdicts: new Map([...digests.keys()].map(digest => [digest, verdict]))
  })
  try {
    const read = await readContent(check, content, new Set([...digests.keys()].map(algorithmOf)))
    if (!read) return all({ kind: 'content-missing', message: 'its bytes are not there' })
    const verdicts = new Map<Digest, Verdict>()
    for (const [digest, told] of digests) {
      const { size } = read
      if (!read.digests.includes(digest)) {
        verdicts.set(digest, { kind: 'content-damaged', message: 'its bytes are not those of the digest' })
      } else if (size !== told) {
        verdicts.set(digest, { kind: 'link-wrong', message: `its link tells another size than ${size} bytes`, size })
      }
    }
    return { verdicts, size: read.size }
  } catch (error) {
    // One bad sector is a fault of one blob. A store that does not answer ends the run.
    if (!(error instanceof StorageError) || error.fault !== 'failed') throw error
    return all({ kind: 'content-unreadable', message: 'its bytes can not be read' })
  }
}

async function readContent(
  { storage }: Check,
  content: string,
  algorithms: Set<Algorithm>
): Promise<{ digests: Digest[]; size: number } | undefined> {
  const body = await storage.read(contentKey(content))
  if (!body) return undefined
  const hashes = [...algorithms].map(algorithm => ({ algorithm, hash: createHash(algorithm) }))
  let size = 0
  for await (const chunk of body.chunks) {
    for (const { hash } of hashes) hash.update(chunk)
    size += chunk.length
  }
  return { digests: hashes.map(({ algorithm, hash }) => digestOf(algorithm, hash)), size }
}

/** Whether a content is the bytes of this digest, `size` of them. */
export async function isWhole(check: Check, content: string, digest: Digest, size: number): Promise<boolean> {
  return (await judge(check, content, new Map([[digest, size]]))).verdicts.size === 0
}
