import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { PutObjectCommand, UploadPartCommand } from '@aws-sdk/client-s3'
import { StorageError } from '../driver.ts'
import { readStretch } from './body.ts'
import type { Bucket } from './bucket.ts'
import { isAbsent, patiently } from './errors.ts'
import { MOST_PARTS } from './parts.ts'
import { conflict, type Part, type Tail, type UploadRecord } from './record.ts'
import { remove } from './removal.ts'
import { tailsOf } from './reserved.ts'
import type { Writes } from './writes.ts'

/** Bytes of an upload to be stored as one: tails, and after them what is in memory. They can be read any number of times. */
export interface Run {
  tails: readonly Tail[]
  memory: readonly Uint8Array[]
}

export const sizeOfRun = ({ tails, memory }: Run): number =>
  memory.reduce((sum, { length }) => sum + length, 0) + tails.reduce((sum, { size }) => sum + size, 0)

/** Stores runs of bytes; each is sent again from where it is when a connection breaks. */
export function createPieces(bucket: Bucket, writes: Writes) {
  const { client } = bucket

  /** Gives a request a body that is made anew for each try. The SDK repeats no stream by itself. */
  async function sendRun<T>(id: string, run: Run, send: (body: Body, signal: AbortSignal) => Promise<T>): Promise<T> {
    const ContentLength = sizeOfRun(run)
    const failing = new AbortController()
    // A stream, so that the SDK does not hash it once more on the main thread before it is sent.
    const Body = Readable.from(bytesOf(bucket, id, run), { objectMode: false })
    let broken: unknown
    Body.on('error', error => {
      broken = error
      failing.abort() // or else the request would wait for the rest
    })
    try {
      return await send({ Body, ContentLength }, failing.signal)
    } catch (error) {
      throw broken ?? error
    } finally {
      Body.destroy()
    }
  }

  return {
    /** Bytes that are no part yet. They are nobody's until the record names them. */
    storeTail: async (id: string, run: Run): Promise<Tail> => {
      const key = tailsOf(id) + randomBytes(8).toString('hex')
      await patiently(() =>
        sendRun(id, run, (body, abortSignal) =>
          client.send(new PutObjectCommand({ ...bucket.at(key), ...bucket.encryption, ...body }), { abortSignal })
        )
      )
      return { key, size: sizeOfRun(run) }
    },

    /** @throws StorageError `conflict` when somebody ended the multipart upload or merged the tails */
    storePart: async (id: string, record: UploadRecord, run: Run): Promise<Part> => {
      const { key, next: number, multipart } = record
      if (number > MOST_PARTS) {
        throw new StorageError('failed', `${key} has more than ${MOST_PARTS} parts: see S3_PART_SIZE`)
      }
      const part = { ...bucket.at(key), UploadId: multipart, PartNumber: number }
      const answer = await patiently(() =>
        sendRun(id, run, (body, abortSignal) =>
          client.send(new UploadPartCommand({ ...part, ...body }), { abortSignal })
        )
      )
      return { number, etag: answer.ETag ?? '', size: sizeOfRun(run) }
    },

    /** The whole upload in one; false: the object is there already. */
    storeObject: async (id: string, key: string, run: Run): Promise<boolean> => {
      const common = { ...bucket.at(key), ...bucket.encryption, ...bucket.contentClass }
      const written = await writes.when(key, 'absent', condition =>
        sendRun(id, run, (body, abortSignal) =>
          client.send(new PutObjectCommand({ ...common, ...condition, ...body }), { abortSignal })
        )
      )
      return written !== undefined
    },

    /** What stays after a failure is found with the upload's other leftovers. */
    discard: async (tails: readonly Tail[]): Promise<void> => {
      if (tails.length > 0)
        await remove(
          bucket,
          tails.map(({ key }) => key)
        ).catch(() => undefined)
    }
  }
}

export type Pieces = ReturnType<typeof createPieces>

interface Body {
  Body: Readable
  ContentLength: number
}

async function* bytesOf(bucket: Bucket, id: string, { tails, memory }: Run): AsyncGenerator<Uint8Array> {
  for (const { key, size } of tails) {
    try {
      yield* readStretch(bucket, key, { start: 0, end: size - 1 })
    } catch (error) {
      if (isAbsent(error)) throw conflict(id, error)
      throw error
    }
  }
  yield* memory
}
