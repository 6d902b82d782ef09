import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import t from 'tap'
import { StorageError } from '../../src/storage/driver.ts'
import { writeSource } from '../../src/storage/filesystem/writing.ts'
import type { Part, Stored, UploadRecord } from '../../src/storage/s3/record.ts'
import { createWriting } from '../../src/storage/s3/writing.ts'

/*
 * Whatever fails while a body is stored, and however its pieces are cut: it ends, the source is let go, and what is
 * said to be stored is a beginning of what came.
 */

/** More is a loop that does not end. */
const MOST_TURNS = 5000
const MOST_CUTS = 2000

/** A piece of a body that counts how often it is cut: a loop without a turn of the event loop can't be stopped otherwise. */
class Piece extends Uint8Array<ArrayBuffer> {
  static cuts = 0
  override subarray(begin?: number, end?: number): Uint8Array<ArrayBuffer> {
    if (++Piece.cuts > MOST_CUTS) throw new Error('a loop over a piece does not end')
    return new Uint8Array(this.buffer, this.byteOffset, this.length).subarray(begin, end)
  }
}

/** Bytes whose value tells their place. */
const bytesFrom = (at: number, length: number): Piece => Piece.from({ length }, (_, i) => (at + i) % 251)
const isBeginning = (bytes: Uint8Array): boolean => bytes.every((byte, at) => byte === at % 251)

/** A source of such pieces, and whether it was left. */
function sourceOf(lengths: readonly number[], failsAfter: number | undefined) {
  const state = { left: false, given: 0 }
  async function* source(): AsyncGenerator<Uint8Array> {
    try {
      for (const [index, length] of lengths.entries()) {
        if (index === failsAfter) throw new Error('the client has gone')
        if (index % 3 === 0) await turn()
        yield bytesFrom(state.given, length)
        state.given += length
      }
      if (failsAfter !== undefined) throw new Error('the client has gone')
    } finally {
      state.left = true
    }
  }
  return { state, source: source() }
}

/** What comes of the work, unless it takes more turns of the event loop than any honest one. */
async function withinTurns<T>(work: Promise<T>): Promise<T> {
  let over = false
  const done = work.finally(() => {
    over = true
  })
  done.catch(() => undefined)
  for (let turns = 0; !over; turns++) {
    if (turns > MOST_TURNS) throw new Error('it does not end')
    await turn()
  }
  return done
}

const lengths = fc.array(fc.oneof(fc.nat(3), fc.nat(40), fc.nat(150)), { maxLength: 16 })
const sourceFails = fc.option(fc.nat(30), { nil: undefined, freq: 5 })

t.test('15.0: a body ends whichever write to its file fails, however it is cut', async () => {
  const cases = fc.record({
    lengths,
    sourceFails,
    /** Bytes of a buffer. */
    size: fc.integer({ min: 1, max: 64 }),
    /** How much the system takes with each write; 0: it takes nothing and says nothing. */
    takes: fc.array(fc.nat(80), { minLength: 1, maxLength: 40 }),
    failsAt: fc.option(fc.nat(40), { nil: undefined, freq: 4 }),
    slow: fc.boolean()
  })
  await fc.assert(
    fc.asyncProperty(cases, async ({ lengths, sourceFails, size, takes, failsAt, slow }) => {
      Piece.cuts = 0
      const file: number[] = []
      let writes = 0
      const handle = {
        writev: async ([bytes = new Uint8Array(0)]: Uint8Array[], position: number) => {
          if (slow) await turn()
          if (position !== 100 + file.length) throw new Error('a write that leaves a hole')
          if (writes === failsAt) throw Object.assign(new Error('no room'), { code: 'ENOSPC' })
          if (writes > MOST_CUTS) throw new Error('a loop over a write does not end')
          const took = bytes.subarray(0, takes[writes++ % takes.length])
          file.push(...took)
          return { bytesWritten: took.length }
        },
        truncate: async () => undefined
      }
      const watched: number[] = []
      const { source, state } = sourceOf(lengths, sourceFails)
      const share = { size, take: () => Buffer.alloc(size) }
      const written = await withinTurns(
        writeSource(handle, 100, source, share, bytes => void watched.push(...bytes) as never)
      )
      const { writeFailed, sourceFailed } = written
      return (
        state.left &&
        writes <= MOST_CUTS &&
        written.size === 100 + file.length &&
        isBeginning(Uint8Array.from(file)) &&
        isBeginning(Uint8Array.from(watched)) &&
        (writeFailed !== undefined || (file.length === state.given && watched.length === state.given)) &&
        (writeFailed === undefined || failsAt !== undefined || takes.includes(0)) &&
        (sourceFailed === undefined || sourceFails !== undefined)
      )
    }),
    { numRuns: 200 }
  )
})

type Step = 'part' | 'tail' | 'save' | 'create' | 'load' | 'discard'

/** A bucket of which each request may fail; parts and tails hold the bytes that they were given. */
function fakeBucket(failsAt: number | undefined, refuses: 'conflict' | 'full') {
  let [requests, names] = [0, 0]
  const parts = new Map<number, number[]>()
  const tails = new Map<string, number[]>()
  let stored: Stored | undefined
  const request = async (what: Step): Promise<void> => {
    await turn()
    if (requests++ === failsAt) throw new StorageError(refuses, `${what} was refused`)
  }
  const bytesOf = (run: { tails: readonly { key: string }[]; memory: readonly Uint8Array[] }): number[] => [
    ...run.tails.flatMap(({ key }) => tails.get(key) ?? []),
    ...run.memory.flatMap(bytes => [...bytes])
  ]
  const tools = {
    records: {
      load: async () => {
        await request('load')
        return stored
      },
      save: async (_id: string, record: UploadRecord) => {
        await request('save')
        stored = { record, etag: String(names++) }
        return stored
      }
    },
    pieces: {
      storeTail: async (_id: string, run: Parameters<typeof bytesOf>[0]) => {
        await request('tail')
        const bytes = bytesOf(run)
        const key = `tail-${names++}`
        tails.set(key, bytes)
        return { key, size: bytes.length }
      },
      storePart: async (_id: string, record: UploadRecord, run: Parameters<typeof bytesOf>[0]): Promise<Part> => {
        const bytes = bytesOf(run)
        await request('part')
        parts.set(record.next, bytes)
        return { number: record.next, etag: 'x', size: bytes.length }
      },
      discard: async () => {
        await request('discard').catch(() => undefined)
      }
    },
    multiparts: {
      create: async () => {
        await request('create')
        return { multipart: `multipart-${names++}`, repeated: false }
      },
      abort: async () => undefined,
      abortAll: async () => undefined
    }
  }
  /** What somebody who goes on finds. */
  const content = (): Uint8Array => {
    const record = stored?.record
    const inParts = (record?.parts ?? []).flatMap(({ number }) => parts.get(number) ?? [-1])
    return Uint8Array.from([...inParts, ...(record?.tails ?? []).flatMap(({ key }) => tails.get(key) ?? [-1])])
  }
  return { tools: tools as unknown as Parameters<typeof createWriting>[0], content }
}

t.test('15.0: a body ends whichever request to a bucket fails, however it is cut', async () => {
  const cases = fc.record({
    lengths,
    /** Bytes of a part. */
    size: fc.integer({ min: 8, max: 200 }),
    failsAt: fc.option(fc.nat(60), { nil: undefined, freq: 4 }),
    refuses: fc.constantFrom('conflict' as const, 'full' as const),
    /** From so many gathered bytes on memory is short. */
    short: fc.oneof(fc.constant(Number.POSITIVE_INFINITY), fc.integer({ min: 1, max: 100 })),
    /** Bytes that a tail has from before: more than a part takes, where the record is odd. */
    before: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(400) })
  })
  await fc.assert(
    fc.asyncProperty(cases, async ({ lengths, size, failsAt, refuses, short, before }) => {
      Piece.cuts = 0
      const { tools, content } = fakeBucket(failsAt, refuses)
      const share = { hold: () => undefined, isShort: (gathered: number) => gathered >= short, end: () => undefined }
      const plan = { size, grows: false }
      const record: UploadRecord = { key: 'k', writer: 'w', plan, parts: [], tails: [], next: 1, open: false }
      const memory = before === 0 ? [] : [bytesFrom(0, before)]
      const writing = createWriting(tools, 'u', { record, stored: undefined, memory, claimed: false }, share)
      let given = before
      const write = async (): Promise<unknown> => {
        try {
          for (const length of lengths) {
            await writing.add(bytesFrom(given, length))
            given += length
          }
          await writing.finish()
          return undefined
        } catch (error) {
          return writing.failure(error)
        }
      }
      const failed = await withinTurns(write())
      const found = content()
      if (failed === undefined) return found.length === given && writing.size() === given && isBeginning(found)
      return failed instanceof StorageError && failed.fault === refuses && isBeginning(found)
    }),
    { numRuns: 200 }
  )
})
