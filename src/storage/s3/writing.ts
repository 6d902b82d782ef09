import { hasOtherParts } from './errors.ts'
import type { Multiparts } from './multipart.ts'
import { createGathering, type Share, sizeOfPart } from './parts.ts'
import { type Pieces, type Run, sizeOfRun } from './pieces.ts'
import {
  conflict,
  isConflict,
  type Part,
  type Records,
  type Stored,
  sizeOf,
  type Tail,
  type UploadRecord
} from './record.ts'

/** So many parts are on their way or wait for the record at a time. One that lost the upload has no more than these. */
const MOST_SENT = 4
/** More pieces of the tail are merged: each of them costs a request when they are read. */
const MOST_TAILS = 128

interface WritingTools {
  records: Records
  pieces: Pieces
  multiparts: Multiparts
}

/** Where an append goes on. */
export interface Beginning {
  record: UploadRecord
  /** The record as it is in the store; undefined: it is not there yet. */
  stored: Stored | undefined
  /** Bytes after what the record names. */
  memory: readonly Uint8Array[]
  /** The multipart upload is this writer's already. */
  claimed: boolean
}

/**
 * Grows an upload by the bytes of one append. Parts are stored as they are full, several at a time while the next one is
 * gathered, and get into the record in their order; what is left at the end becomes a tail.
 */
export function createWriting(tools: WritingTools, id: string, beginning: Beginning, share: Share) {
  const { records, pieces, multiparts } = tools
  let { record, stored, claimed } = beginning
  /** Tails that no part holds, but for those that the parts on their way take up. */
  let tails = record.tails
  /** The number of the next part that is sent; the record's is that of the next one that it names. */
  let next = record.next
  /** Parts that the record does not name yet, oldest first; each ends when it does. */
  const sent: Promise<void>[] = []
  const gathering = createGathering()
  const known = new Set(record.tails)
  const obsolete: Tail[] = []
  let size = sizeOf(record)
  /** The multipart upload that this append made. */
  let created: { multipart: string; repeated: boolean } | undefined
  for (const piece of beginning.memory) gather(piece)

  function gather(piece: Uint8Array): void {
    gathering.add(piece)
    share.hold(piece.length)
    size += piece.length
  }

  async function add(piece: Uint8Array): Promise<void> {
    for (let at = 0; at < piece.length; ) {
      const before = tails.reduce((sum, { size }) => sum + size, 0) + gathering.size()
      // Where the record is odd and more is there than a part takes, the part goes first: then there is room.
      const room = Math.max(0, sizeOfPart(record.plan, next) - before)
      const some = piece.subarray(at, at + room)
      gather(some)
      at += some.length
      if (some.length === room) await storePart()
      else if (share.isShort(gathering.size())) await relieve()
    }
  }

  /** Hands the tails and what was gathered on, once few enough are on their way. */
  async function storePart(): Promise<void> {
    while (sent.length === MOST_SENT || (sent.length > 0 && share.isShort(Number.POSITIVE_INFINITY))) await sent[0]
    await claim()
    const run = { tails, memory: gathering.take() }
    tails = []
    const storing = pieces.storePart(id, { ...record, next: next++ }, run)
    const named = name(storing, run, sent.at(-1)).then(() => void sent.shift())
    sent.push(named)
    named.catch(() => undefined) // told by whoever settles
  }

  /** Puts a part into the record, after those before it: a part without them would be a hole. */
  async function name(storing: Promise<Part>, run: Run, before: Promise<void> | undefined): Promise<void> {
    // Neither failure may leave the other part on its way when this ends.
    const [part] = await allEnded([storing, before])
    obsolete.push(...run.tails)
    await save({ parts: [...record.parts, part], tails: [], next: part.number + 1 })
    // Not before the record names it: until then the other one might be another writer's.
    if (created?.repeated) await multiparts.abortAll(record.key, { kept: created.multipart })
    share.hold(-part.size + run.tails.reduce((sum, { size }) => sum + size, 0))
  }

  async function settled(): Promise<void> {
    await sent.at(-1)
  }

  /** Memory is short: parts that are on their way will free some, else what was gathered goes to the tail. */
  async function relieve(): Promise<void> {
    if (sent.length > 0) return sent[0]
    if (!stored) await begin()
    await storeTail()
  }

  async function storeTail(): Promise<void> {
    const gathered = gathering.size()
    const from = tails.length < MOST_TAILS ? tails.length : firstToMerge(tails, gathered)
    const merged = tails.slice(from)
    const tail = await pieces.storeTail(id, { tails: merged, memory: gathering.take() })
    share.hold(-gathered)
    tails = [...tails.slice(0, from), tail]
    record = { ...record, tails }
    obsolete.push(...merged)
  }

  /** Leaves word of the upload, before anything of it can be left lying about. */
  async function begin(): Promise<void> {
    await save({ open: true })
    claimed = true
  }

  /**
   * From here on the numbers of the multipart upload's parts are this writer's: of who had it before, so many parts at
   * most are still on their way, and their numbers are not used.
   */
  async function claim(): Promise<void> {
    if (!stored) await begin()
    if (!claimed) {
      const another = record.open
      // What another one made and had no time to note down would be lost.
      if (another && !record.multipart) await multiparts.abortAll(record.key)
      await save({ open: true, next: another ? record.next + MOST_SENT : record.next })
      next = record.next
      claimed = true
    }
    if (record.multipart) return
    created = await multiparts.create(record.key)
    record = { ...record, multipart: created.multipart }
  }

  async function save(change: Partial<UploadRecord>): Promise<void> {
    record = { ...record, ...change }
    stored = await records.save(id, record, stored)
    for (const tail of record.tails) known.add(tail)
    // The new is durable before the old goes.
    await pieces.discard(obsolete.splice(0))
  }

  /** Takes away what this append made and the record does not name. Another writer's record is looked at anew. */
  async function clear(): Promise<void> {
    const current = (await records.load(id))?.record
    const named = new Set(current?.tails.map(({ key }) => key))
    await pieces.discard([...record.tails, ...obsolete].filter(tail => !known.has(tail) && !named.has(tail.key)))
    if (created && created.multipart !== current?.multipart) await multiparts.abort(record.key, created.multipart)
  }

  /**
   * A server that refuses a part may close the connection before its answer is read: the record tells. One that this
   * append wrote, and whose answer got lost, has another ETag too.
   */
  async function isAnothers(): Promise<boolean> {
    if (!stored) return false
    const current = await records.load(id).catch(() => stored)
    if (current?.etag === stored.etag) return false
    return !current || current.record.aborted === true || current.record.writer !== record.writer
  }

  return {
    add,
    begin,
    /** Bytes of the whole upload, wherever they are by now. */
    size: () => size,

    /** All that was added is in the store, for whoever goes on. */
    finish: async (): Promise<void> => {
      await settled()
      if (!stored) await begin()
      if (gathering.size() > 0) await storeTail()
      // Whoever did not claim it can't tell whether another's part is on its way.
      await save({ open: !claimed && record.open })
    },

    /** All that was added is in parts, the last one of any size; to be completed at once. */
    close: async (): Promise<UploadRecord> => {
      if (claimed) await save({ open: true })
      else await claim()
      const run = { tails, memory: gathering.take() }
      if (sizeOfRun(run) === 0) return record
      return { ...record, parts: [...record.parts, await pieces.storePart(id, record, run)] }
    },

    /** What is not in the store stays in memory, in buffers of its own. */
    hold: async (): Promise<Beginning> => {
      await settled()
      const memory = gathering.size() > 0 ? [Buffer.concat(gathering.take())] : []
      return { record, stored, memory, claimed }
    },

    /** Marks the upload as aborted, for whoever takes it away. Throws `conflict` where somebody else has it. */
    abandon: async (): Promise<void> => {
      if (stored) await save({ aborted: true })
    },

    /** To be thrown instead of an error that stopped it: whatever is on its way has ended. */
    failure: async (error: unknown): Promise<unknown> => {
      await settled().catch(() => undefined)
      const lost = hasOtherParts(error) || (await isAnothers()) ? conflict(id, error) : error
      // After any other error a write may have happened whose answer got lost: what it named must stay.
      if (isConflict(lost)) await clear().catch(() => undefined)
      return lost
    }
  }
}

/** Both results, or a failure, once neither is under way. */
async function allEnded<A, B>(work: readonly [Promise<A>, Promise<B> | undefined]): Promise<[A, B | undefined]> {
  await Promise.allSettled(work)
  return Promise.all(work)
}

/**
 * The first of the tails that are merged with what is gathered. One that is larger than all after it stays, so that small
 * chunks are not written over and over.
 */
function firstToMerge(tails: readonly Tail[], gathered: number): number {
  let after = gathered
  let first = tails.length
  for (let at = tails.length - 1; at >= 0; at--) {
    const { size } = tails[at]!
    if (size <= after) first = at
    after += size
  }
  return first
}
