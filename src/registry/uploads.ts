import { createHash, type Hash, randomUUID } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { type StorageDriver, StorageError, type UploadState } from '../storage/driver.ts'
import type { Blobs } from './blobs.ts'
import { type Algorithm, algorithmOf, type Digest, digestChunks, digestOf } from './digest.ts'
import { RegistryError } from './errors.ts'
import { contentKey, ENDED, endedKey } from './keys.ts'
import { createSessions, type Session } from './session.ts'
import { createTurns, Superseded, type Turn } from './upload-turns.ts'

/** The body of a PATCH, a closing PUT or a single POST. */
export interface Chunk {
  source: AsyncIterable<Uint8Array>
  /** Content-Length in bytes, where the client said it. */
  length: number | undefined
  /** Content-Range, both ends inclusive, where the client said it. */
  range?: { start: number; end: number } | undefined
}

export interface UploadStatus {
  /** The session's name from now on: it carries when it was last used. */
  session: string
  /** Bytes stored. */
  size: number
}

export interface UploadOptions {
  storage: StorageDriver
  blobs: Blobs
  /** How long a session may be idle, in ms. */
  expiryMs: number
  now?: () => number
}

/** A hash that is as far as the upload is, if this process alone wrote it. */
interface Progress {
  writer: string
  algorithm: Algorithm
  hash: Hash
  size: number
}

/** What became of a session. */
interface Made {
  digest: Digest
  /** The content that the blob is: the session's own, or what had the same bytes already. */
  content: string
}

/** How a session ended; kept until no name of it is valid any more. */
type Ending = Made | typeof NO_BLOB
/** Cancelled or failed. */
const NO_BLOB = { digest: '', content: '' } as const

/** Upload sessions, from POST to the link that makes a blob (docs/storage.md, "Uploads"). */
export function createUploads({ storage, blobs, expiryMs, now = Date.now }: UploadOptions) {
  const sessions = createSessions({ storage, expiryMs, now })
  const turns = createTurns()
  // Losing one costs reading the content once more at the end.
  const progress = new LRUCache<string, Progress>({ max: 10_000 })

  /** spec end-4a, 4c: a new session; it costs the store nothing yet. */
  async function start(repository: string, algorithm: Algorithm = 'sha256'): Promise<string> {
    return sessions.issue(repository, sessions.begin(algorithm))
  }

  /** spec end-13. Throws `upload-unknown`. */
  async function status(repository: string, name: string): Promise<UploadStatus> {
    const session = await open(repository, name)
    const state = await storage.upload(session.id)
    return { session: await sessions.issue(repository, session), size: state?.size ?? 0 }
  }

  /** spec end-5: adds a chunk. Throws `upload-unknown`, `upload-out-of-order`, `size-invalid`. */
  async function append(repository: string, name: string, chunk: Chunk): Promise<UploadStatus> {
    const session = await open(repository, name)
    const { size } = await inTurn(session, turn => write(session, turn, chunk, false))
    return { session: await sessions.issue(repository, session), size }
  }

  /**
   * spec end-6: adds the last chunk, if there is one, and makes the blob. A PUT repeated on a session that ended well
   * ends well again. Throws `upload-unknown`, `upload-out-of-order`, `size-invalid`, `digest-mismatch`.
   */
  async function finish(repository: string, name: string, digest: Digest, chunk: Chunk): Promise<void> {
    const session = await sessions.check(repository, name)
    await inTurn(session, async turn => {
      const ending = await endingOf(session)
      if (ending) return repeat(repository, session, digest, ending)
      const state = await writeLast(session, turn, chunk)
      await settle(repository, session, digest, state, true)
    })
  }

  /** spec end-4b: a blob in one request, without a session. Throws `digest-mismatch`. */
  async function single(repository: string, digest: Digest, chunk: Chunk): Promise<void> {
    const session = sessions.begin(algorithmOf(digest))
    await inTurn(session, async turn => {
      const state = await write(session, turn, chunk, true).catch(async error => {
        await storage.abort(session.id) // nobody can name it, so nobody could go on with it
        throw error
      })
      await settle(repository, session, digest, state, false)
    })
  }

  /** spec end-14. Throws `upload-unknown`. */
  async function cancel(repository: string, name: string): Promise<void> {
    const session = await open(repository, name)
    await inTurn(session, async () => {
      if (!(await end(session, NO_BLOB))) throw new RegistryError('upload-unknown')
      await storage.abort(session.id)
    })
  }

  /** Frees what idle sessions hold, and forgets endings that no valid name leads to. Returns how many sessions went. */
  async function expire(): Promise<number> {
    let expired = 0
    for await (const { id, ageMs } of storage.listUploads()) {
      if (ageMs <= expiryMs) continue
      await storage.abort(id)
      expired++
    }
    for (let after: string | undefined; ; ) {
      const page = await storage.list(ENDED, { limit: 1000, ages: true, ...(after && { after }) })
      await storage.delete(
        page.filter(entry => entry.ageMs! > expiryMs).map(entry => entry.key),
        { durable: false }
      )
      if (page.length < 1000) return expired
      after = page.at(-1)!.key
    }
  }

  /** A session that has not ended. */
  async function open(repository: string, name: string): Promise<Session> {
    const session = await sessions.check(repository, name)
    if (await endingOf(session)) throw new RegistryError('upload-unknown')
    return session
  }

  async function inTurn<T>(session: Session, work: (turn: Turn) => Promise<T>): Promise<T> {
    const turn = await turns.take(session.id)
    try {
      return await work(turn)
    } catch (error) {
      const lost = error instanceof Superseded || (error instanceof StorageError && error.fault === 'conflict')
      if (!lost) throw error
      // Another request or another process has the session now: tell where it stands.
      const size = (await storage.upload(session.id))?.size ?? 0
      throw new RegistryError('upload-out-of-order', { size }, { cause: error })
    } finally {
      turn.end()
    }
  }

  /** Adds a chunk and returns the upload as it is then. The order of chunks is the spec's: "Pushing a blob in chunks". */
  async function write(session: Session, turn: Turn, chunk: Chunk, closing: boolean): Promise<UploadState> {
    const { range, length } = chunk
    const expected = range && range.end - range.start + 1
    if (expected !== undefined && length !== undefined && length !== expected) throw sizeInvalid(expected, length)
    const from = await storage.upload(session.id)
    const size = from?.size ?? 0
    if (range && range.start !== size) throw new RegistryError('upload-out-of-order', { size })
    const { writer, hash } = resume(session, from)
    const source = hashed(turn.read(chunk.source), hash, expected)
    const key = contentKey(session.id)
    const stored = await storage.append(session.id, source, { from, writer, key, closing })
    if (expected !== undefined && stored - size !== expected) throw sizeInvalid(expected, stored - size)
    return { size: stored, writer }
  }

  /**
   * The hash to go on with, and the token to write under. A hash goes on only if the store says that the last writer was
   * this process, and that it left just what was hashed; otherwise the content is read again at the end.
   */
  function resume(session: Session, from: UploadState | undefined): { writer: string; hash: Progress | undefined } {
    const known = progress.get(session.id)
    if (from && known && known.writer === from.writer && known.size === from.size) {
      return { writer: known.writer, hash: known }
    }
    progress.delete(session.id)
    const writer = randomUUID()
    if (from && from.size > 0) return { writer, hash: undefined }
    const hash = { writer, algorithm: session.algorithm, hash: createHash(session.algorithm), size: 0 }
    progress.set(session.id, hash)
    return { writer, hash }
  }

  /** Adds the closing chunk; undefined: the bytes were committed by an earlier attempt that got no further. */
  async function writeLast(session: Session, turn: Turn, chunk: Chunk): Promise<UploadState | undefined> {
    if (chunk.length !== 0 || chunk.range) return write(session, turn, chunk, true)
    const state = await storage.upload(session.id)
    if (state) return state
    if (await storage.stat(contentKey(session.id))) return undefined
    return write(session, turn, chunk, true) // a blob of no bytes
  }

  /**
   * The session's bytes become content, the content is checked, and the repository gets its link. Of all who try to end
   * one session, the one that leaves the ending decides (`recorded`: others may hold the session's name).
   */
  async function settle(
    repository: string,
    session: Session,
    digest: Digest,
    state: UploadState | undefined,
    recorded: boolean
  ): Promise<void> {
    const known = progress.get(session.id)
    progress.delete(session.id)
    const key = contentKey(session.id)
    const endedByAnother = async () => repeat(repository, session, digest, await endingOf(session))
    const committed = await storage.commit(session.id, key, state)
    if (!committed) return endedByAnother()
    const unbroken = !committed.existed && known?.writer === state?.writer && known?.size === state?.size
    const hashed = known && unbroken && known.algorithm === algorithmOf(digest)
    const actual = hashed ? digestOf(known.algorithm, known.hash) : await digestContent(session, algorithmOf(digest))
    if (actual === undefined) return endedByAnother()
    // Content that has been there for a while may be about to be collected (docs/storage.md, "Collecting").
    if (!hashed && !(await blobs.mayLink(session.id))) throw new RegistryError('upload-unknown')
    if (actual !== digest) {
      if (recorded && !(await end(session, NO_BLOB))) return endedByAnother()
      if (!committed.existed) await storage.delete([key], { durable: false })
      throw new RegistryError('digest-mismatch', { digest, actual })
    }
    // Which content it is goes into the ending, so that nobody links the session's own once it may be deleted.
    const content = (await blobs.shareable(digest))?.content ?? session.id
    if (recorded && !(await end(session, { digest, content }))) return endedByAnother()
    await publish(repository, session, { digest, content }, committed.size)
  }

  /** Undefined: another request has ended the session meanwhile, and deleted its content. */
  async function digestContent(session: Session, algorithm: Algorithm): Promise<Digest | undefined> {
    const body = await storage.read(contentKey(session.id))
    if (body) return digestChunks(body.chunks, algorithm)
    if (await endingOf(session)) return undefined
    throw new StorageError('unavailable', 'content went while it was being checked')
  }

  /** The link, which makes the blob. The session's own bytes go where the registry had them already. */
  async function publish(repository: string, { id }: Session, { digest, content }: Made, size: number): Promise<void> {
    await blobs.link(repository, digest, content, size)
    if (content === id) await blobs.leaveHint(digest, content, size)
    else await storage.delete([contentKey(id)], { durable: false })
  }

  /** A closing PUT on a session that has ended: good again if it ended with this digest and the blob is there. */
  async function repeat(repository: string, session: Session, digest: Digest, ending?: Ending): Promise<void> {
    if (ending?.digest !== digest) throw new RegistryError('upload-unknown')
    if (await blobs.rely(repository, digest)) return
    // The process that ended it may have died before its link. A deleted blob's content has an orphan entry.
    const stored = await storage.stat(contentKey(ending.content))
    if (!stored || (await blobs.orphaned(ending.content))) throw new RegistryError('upload-unknown')
    await publish(repository, session, ending, stored.size)
  }

  /** Leaves how the session ended; false: somebody did before. */
  function end(session: Session, ending: Ending): Promise<boolean> {
    progress.delete(session.id)
    // In a power cut the requests that could contradict it are gone as well, and a commit never replaces content.
    return storage.put(endedKey(session.id), Buffer.from(JSON.stringify(ending)), { ifAbsent: true, durable: false })
  }

  async function endingOf(session: Session): Promise<Ending | undefined> {
    const stored = await storage.get(endedKey(session.id))
    if (!stored) return undefined
    try {
      return JSON.parse(stored.bytes.toString()) as Ending
    } catch {
      return NO_BLOB // torn by a power cut: it ended, and nobody knows how
    }
  }

  return { start, status, append, finish, single, cancel, expire }
}

export type Uploads = ReturnType<typeof createUploads>

const sizeInvalid = (announced: number, received: number): RegistryError =>
  new RegistryError('size-invalid', { announced, received })

/** Hashes what goes by, and stops a body that is longer than its Content-Range said. */
async function* hashed(
  source: AsyncIterable<Uint8Array>,
  progress: Progress | undefined,
  expected: number | undefined
): AsyncGenerator<Uint8Array> {
  let received = 0
  for await (const chunk of source) {
    received += chunk.length
    if (expected !== undefined && received > expected) throw sizeInvalid(expected, received)
    if (progress) {
      progress.hash.update(chunk)
      progress.size += chunk.length
    }
    yield chunk
  }
}
