import { type AppendOptions, type Committed, StorageError, type UploadState, type UploadStore } from '../driver.ts'
import type { Bucket } from './bucket.ts'
import { isFull } from './errors.ts'
import { createHolding } from './holding.ts'
import { pages } from './listing.ts'
import { createMultiparts } from './multipart.ts'
import { createStat } from './objects.ts'
import type { Budget, PartPlan } from './parts.ts'
import { createPieces, sizeOfRun } from './pieces.ts'
import { conflict, createRecords, isAs, isConflict, type Stored, sizeOf, stateOf, type UploadRecord } from './record.ts'
import { remove } from './removal.ts'
import { ordinary, recordKey, tailsOf, UPLOADS } from './reserved.ts'
import type { Writes } from './writes.ts'
import { type Beginning, createWriting } from './writing.ts'

/** How often an abort tries to mark a record that somebody else writes to. */
const ABORT_TRIES = 100

export interface UploadOptions {
  bucket: Bucket
  /** How objects are written. */
  writes: Writes
  /** How multipart uploads are completed. */
  completions: Writes
  budget: Budget
  plan: PartPlan
}

/** What an append came to: the source's own error is no fault of the store, which kept what the source gave. */
export interface Appended {
  size: number
  sourceFailed: { error: unknown } | undefined
}

export type BucketUploads = Omit<UploadStore, 'append'> & {
  append(id: string, source: AsyncIterable<Uint8Array>, options: AppendOptions): Promise<Appended>
}

/** Uploads: a record, multipart uploads on the final key, and tails (docs/storage.md). */
export function createUploads({ bucket, writes, completions, budget, plan }: UploadOptions): BucketUploads {
  const records = createRecords(bucket, writes)
  const pieces = createPieces(bucket, writes)
  const holding = createHolding()
  const multiparts = createMultiparts(bucket, completions)
  const tools = { records, pieces, multiparts }
  const stat = createStat(bucket)

  async function append(id: string, source: AsyncIterable<Uint8Array>, options: AppendOptions): Promise<Appended> {
    const beginning = await beginningOf(id, options)
    // What begins and ends with this append is one PutObject when it is committed, if it fits a part.
    const ticket = options.from === undefined && options.closing ? holding.begin(id) : undefined
    const share = budget.open()
    const writing = createWriting(tools, id, beginning, share)
    let kept = false
    try {
      if (!ticket && !beginning.stored) await writing.begin() // so that an abort is noticed
      const sourceFailed = await drain(source, async piece => {
        await options.watch?.(piece)
        await writing.add(piece)
      })
      const held = ticket && !sourceFailed ? await writing.hold() : undefined
      if (!held) await writing.finish()
      if (ticket && !holding.isGood(id, ticket)) {
        if (ticket.aborted) await abort(id) // again: there was no record that could have been marked
        throw conflict(id)
      }
      if (held) {
        holding.keep(id, held, share.end)
        kept = true
      }
      return { size: writing.size(), sourceFailed }
    } catch (error) {
      const failure = await writing.failure(error)
      // Nobody was told of a byte of it, and what others need most is the room that it takes.
      if (isFull(failure) && options.from === undefined) await giveBack(id, writing.abandon).catch(() => undefined)
      throw failure
    } finally {
      if (!kept) share.end()
      if (ticket) holding.settle(id, ticket)
    }
  }

  async function giveBack(id: string, abandon: () => Promise<void>): Promise<void> {
    // A bucket without room may not even take the mark.
    await abandon().catch(error => {
      if (!isFull(error)) throw error
    })
    await abort(id)
  }

  /** @throws StorageError `conflict` when the upload is not as the caller saw it */
  async function beginningOf(id: string, { from, writer, key }: AppendOptions): Promise<Beginning> {
    if (from === undefined) {
      if (holding.find(id)) throw conflict(id)
      const record = { key: ordinary(key), writer, plan, parts: [], tails: [], next: 1, open: false }
      return { record, stored: undefined, memory: [], claimed: false }
    }
    const held = holding.find(id)
    if (held && isAs(held.state, from)) {
      holding.drop(id)
      return { ...held.beginning, record: { ...held.beginning.record, writer } }
    }
    const stored = await records.find(id, from)
    if (held || !stored || !isAs(stateOf(stored.record), from)) throw conflict(id)
    return { record: { ...stored.record, writer }, stored, memory: [], claimed: false }
  }

  async function commit(id: string, key: string, from: UploadState | undefined): Promise<Committed | undefined> {
    ordinary(key)
    const held = holding.find(id)
    if (held) {
      if (!isAs(held.state, from)) throw conflict(id)
      try {
        const committed = await conclude(id, key, held.beginning)
        holding.drop(id)
        return committed
      } catch (error) {
        if (isConflict(error)) holding.drop(id) // what another process has of it is the truth
        throw error
      }
    }
    const stored = await records.load(id)
    if (!stored || stored.record.aborted) return existing(key)
    if (!isAs(stateOf(stored.record), from)) throw conflict(id)
    return conclude(id, key, { record: stored.record, stored, memory: [], claimed: false })
  }

  async function existing(key: string): Promise<Committed | undefined> {
    const found = await stat(key)
    return found && { size: found.size, existed: true }
  }

  async function conclude(id: string, key: string, beginning: Beginning): Promise<Committed> {
    const { record, stored, memory } = beginning
    if (record.key !== key) throw new StorageError('failed', `upload ${id} is to be committed to ${record.key}`)
    const inParts = record.parts.length > 0
    const made = await (inParts ? complete(id, beginning) : storeObject(id, beginning))
    const size = sizeOf(record) + sizeOfRun({ tails: [], memory })
    const committed = made ? { size, existed: false } : await existing(key)
    if (!committed) throw conflict(id)
    if (!made || !inParts) await abortLeft(record)
    if (stored) await remove(bucket, [...record.tails.map(tail => tail.key), recordKey(id)])
    records.forget(id)
    return committed
  }

  /** False: the object is there, or somebody else has the upload. */
  async function storeObject(id: string, { record, memory }: Beginning): Promise<boolean> {
    try {
      return await pieces.storeObject(id, record.key, { tails: record.tails, memory })
    } catch (error) {
      if (isConflict(error)) return false
      throw error
    }
  }

  /** False as above. */
  async function complete(id: string, beginning: Beginning): Promise<boolean> {
    const share = budget.open()
    const writing = createWriting(tools, id, beginning, share)
    try {
      return await multiparts.complete(await writing.close())
    } catch (error) {
      const failure = await writing.failure(error)
      if (isConflict(failure)) return false
      throw failure
    } finally {
      share.end()
    }
  }

  async function abort(id: string): Promise<void> {
    holding.abort(id)
    const stored = await markAborted(id)
    if (stored) await abortLeft(stored.record)
    // Also those that no record names.
    const tails: string[] = []
    for await (const { key } of pages(bucket, tailsOf(id), {})) tails.push(key)
    await remove(bucket, tails)
    if (stored) await remove(bucket, [recordKey(id)])
    records.forget(id)
  }

  /** From then on nobody adds anything, and a crash in the middle leaves what `abort` goes on with. */
  async function markAborted(id: string): Promise<Stored | undefined> {
    for (let tries = 1; ; tries++) {
      const stored = await records.load(id)
      if (!stored || stored.record.aborted) return stored
      try {
        return await records.save(id, { ...stored.record, aborted: true }, stored)
      } catch (error) {
        if (isFull(error)) return stored // to take it away frees room, and needs no mark while nobody else is at it
        if (!isConflict(error) || tries === ABORT_TRIES) throw error // else: somebody has just written
      }
    }
  }

  async function abortLeft({ key, multipart, open }: UploadRecord): Promise<void> {
    if (multipart || open) await multiparts.abortAll(key, { known: multipart })
  }

  async function* listUploads(): ReturnType<UploadStore['listUploads']> {
    let before: string[] = [] // those whose ids the current entry begins with
    for await (const { key, ageMs } of pages(bucket, UPLOADS, { folders: true })) {
      before = before.filter(id => key.startsWith(recordKey(id)))
      const id = key.slice(UPLOADS.length).replace(/\.tail\/$/, '')
      if (ageMs !== undefined) {
        before.push(id)
        yield { id, ageMs }
      } else if (key === tailsOf(id) && !before.includes(id)) {
        // Tails without a record: what a crash left of an upload that had ended.
        for await (const { ageMs = 0 } of pages(bucket, key, { limit: 1 })) {
          yield { id, ageMs }
          break
        }
      }
    }
  }

  return {
    append,
    commit,
    abort,
    listUploads,
    upload: async id => holding.find(id)?.state ?? stateOf((await records.load(id))?.record)
  }
}

/** Reads the source to its end, or to its failure, which is returned; a failure of `add` is thrown. */
async function drain(
  source: AsyncIterable<Uint8Array>,
  add: (piece: Uint8Array) => Promise<void>
): Promise<Appended['sourceFailed']> {
  const pieces = source[Symbol.asyncIterator]()
  for (;;) {
    let next: IteratorResult<Uint8Array>
    try {
      next = await pieces.next()
    } catch (error) {
      return { error }
    }
    if (next.done) return undefined
    try {
      await add(next.value)
    } catch (error) {
      await pieces.return?.()?.catch(() => undefined)
      throw error
    }
  }
}
