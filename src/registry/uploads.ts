import { isFull, type StorageDriver, StorageError, type UploadState } from '../storage/driver.ts'
import { type Admission, admitted, type BlobRoom, type Room, roomForBlob } from './admission.ts'
import type { Blobs } from './blobs.ts'
import { type Algorithm, algorithmOf, type Digest, digestBytes } from './digest.ts'
import { createEndings, NO_BLOB } from './endings.ts'
import { RegistryError } from './errors.ts'
import { contentKey } from './keys.ts'
import { createSessions, type Session } from './session.ts'
import { gather, replay } from './small-bodies.ts'
import { hashing, limited, sizeInvalid } from './upload-bodies.ts'
import { createClosings } from './upload-closings.ts'
import { createHashes } from './upload-hashes.ts'
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

/** As operators see it. */
export interface OpenUpload {
  /** The UUID that the session's name begins with. */
  id: string
  /** Bytes stored. */
  size: number
  idleMs: number
}

export interface UploadOptions {
  storage: StorageDriver
  blobs: Blobs
  /** Undefined: repositories may hold any amount. */
  admission: Admission | undefined
  /** How long a session may be idle, in ms. */
  expiryMs: number
  /** A body up to this size, in bytes, is held in memory, and so small a blob is stored anew with every push. */
  smallBytes: number
  now?: () => number
}

/** Upload sessions, from POST to the link that makes a blob (docs/storage.md, "Uploads"). */
export function createUploads(options: UploadOptions) {
  const { storage, blobs, admission, expiryMs, smallBytes, now = Date.now } = options
  const sessions = createSessions({ storage, expiryMs, now })
  const endings = createEndings(storage)
  const turns = createTurns()
  const hashes = createHashes()
  const closings = createClosings({ storage, blobs, endings, hashes, smallBytes })

  /** spec end-4a, 4c: a new session; it costs the store nothing yet. Throws `quota-exceeded`. */
  async function start(repository: string, algorithm: Algorithm = 'sha256', owner?: string): Promise<string> {
    await admission?.admit(repository)
    return sessions.issue(repository, sessions.begin(algorithm, owner))
  }

  /** spec end-13. Throws `upload-unknown`. */
  async function status(repository: string, name: string, owner?: string): Promise<UploadStatus> {
    const session = await sessions.check(repository, name, owner)
    const state = await open(session)
    return { session: await sessions.issue(repository, session), size: state?.size ?? 0 }
  }

  /** spec end-5: adds a chunk. Throws `upload-unknown`, `upload-out-of-order`, `size-invalid`, `quota-exceeded`. */
  async function append(repository: string, name: string, chunk: Chunk, owner?: string): Promise<UploadStatus> {
    const session = await sessions.check(repository, name, owner)
    const room = admission?.room(repository, session.id)
    const { size } = await inTurn(session, turn =>
      givingBack(session, room, async () => write(session, await open(session), read(turn, chunk), false, room))
    )
    return { session: await sessions.issue(repository, session), size }
  }

  /**
   * spec end-6: adds the last chunk, if there is one, and makes the blob. A PUT repeated on a session that ended well
   * ends well again. Throws `upload-unknown`, `upload-out-of-order`, `size-invalid`, `digest-mismatch`,
   * `quota-exceeded`.
   */
  async function finish(repository: string, name: string, digest: Digest, chunk: Chunk, owner?: string): Promise<void> {
    const session = await sessions.check(repository, name, owner)
    const room = forBlob(repository, digest, admission?.room(repository, session.id))
    await inTurn(session, turn =>
      givingBack(session, room, () => finishInTurn(repository, session, digest, read(turn, chunk), room))
    )
  }

  async function finishInTurn(
    repository: string,
    session: Session,
    digest: Digest,
    chunk: Chunk,
    room: Room | undefined
  ): Promise<void> {
    if (!isSmall(chunk) || hashes.has(session)) return finishSent(repository, session, digest, chunk, room)
    const body = await gather(chunk.source, chunk.length)
    // What has the digest is the blob, so nobody needs to know whether the session had bytes before.
    if (!body.failure && digestBytes(body.bytes, algorithmOf(digest)) === digest) {
      return finishWhole(repository, session, digest, body.bytes, room)
    }
    await finishSent(repository, session, digest, { ...chunk, source: replay(body) }, room)
  }

  async function finishWhole(
    repository: string,
    session: Session,
    digest: Digest,
    bytes: Buffer,
    room: Room | undefined
  ): Promise<void> {
    if (room) {
      // A closing PUT that is repeated adds nothing, so it must not be refused for want of room.
      const ending = await endings.find(session.id)
      if (ending) return closings.repeat(repository, session, digest, ending)
      await room.need(bytes.length)
    }
    await closings.finishWhole(repository, session, digest, bytes)
    room?.keep(bytes.length)
    room?.added('blob', digest)
  }

  /** Of a chunk that adds to what the session has, if it has anything. */
  async function finishSent(
    repository: string,
    session: Session,
    digest: Digest,
    chunk: Chunk,
    room: Room | undefined
  ): Promise<void> {
    const [from, ending] = await Promise.all([storage.upload(session.id), endings.find(session.id)])
    if (ending) return closings.repeat(repository, session, digest, ending)
    const state = await writeLast(session, from, chunk, room)
    await closings.settle(repository, session, digest, state, true)
    room?.added('blob', digest)
  }

  const forBlob = (repository: string, digest: Digest, room: Room | undefined): BlobRoom | undefined =>
    room && roomForBlob(room, () => blobs.sizeOf(repository, digest))

  /** A session that no room is left for goes with its bytes, and what has no bytes any more needs no room. */
  async function givingBack<T>(
    session: Session,
    room: Room | BlobRoom | undefined,
    work: () => Promise<T>
  ): Promise<T> {
    try {
      return await work()
    } catch (error) {
      if (!room) throw error
      const kind = error instanceof RegistryError ? error.kind : undefined
      // Whatever a push without room fails with: the bytes that it leaves would count nowhere.
      if (kind === 'quota-exceeded' || ('isBeyond' in room && room.isBeyond)) {
        if (await closings.end(session, NO_BLOB)) await storage.abort(session.id)
        room.release()
      } else if (kind === 'digest-mismatch' || kind === 'upload-unknown') room.release()
      throw error
    }
  }

  /** spec end-4b: a blob in one request, without a session. Throws `digest-mismatch`, `quota-exceeded`. */
  async function single(repository: string, digest: Digest, chunk: Chunk): Promise<void> {
    const room = forBlob(repository, digest, admission?.shared(repository, digest))
    try {
      await room?.need(chunk.length ?? 0)
      await (isSmall(chunk) ? singleWhole(repository, digest, chunk) : singleSent(repository, digest, chunk, room))
      room?.added('blob', digest)
    } finally {
      room?.release()
    }
  }

  async function singleSent(repository: string, digest: Digest, chunk: Chunk, room: Room | undefined): Promise<void> {
    const session = sessions.begin(algorithmOf(digest))
    await inTurn(session, async turn => {
      const state = await write(session, undefined, read(turn, chunk), true, room).catch(async error => {
        await storage.abort(session.id) // nobody can name it, so nobody could go on with it
        throw error
      })
      await closings.settle(repository, session, digest, state, false)
    })
  }

  async function singleWhole(repository: string, digest: Digest, chunk: SmallChunk): Promise<void> {
    const { bytes, failure } = await gather(chunk.source, chunk.length)
    if (failure) throw failure.error
    const actual = digestBytes(bytes, algorithmOf(digest))
    if (actual !== digest) throw new RegistryError('digest-mismatch', { digest, actual })
    await blobs.publish(repository, digest, await blobs.store(bytes), bytes.length)
  }

  /** spec end-14. Throws `upload-unknown`. */
  async function cancel(repository: string, name: string, owner?: string): Promise<void> {
    const session = await sessions.check(repository, name, owner)
    await inTurn(session, async () => {
      const ended = await closings.end(session, NO_BLOB)
      // Whoever cancelled it before may have got no further.
      if (ended || (await endings.find(session.id))?.digest === NO_BLOB.digest) await storage.abort(session.id)
      admission?.room(repository, session.id)?.release()
      if (!ended) throw new RegistryError('upload-unknown')
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
    await endings.forget(expiryMs)
    return expired
  }

  /** Uploads that have bytes in the store and have not ended, the longest idle first. */
  async function list(): Promise<OpenUpload[]> {
    const found: OpenUpload[] = []
    for await (const { id, ageMs } of storage.listUploads()) {
      found.push({ id, size: (await storage.upload(id))?.size ?? 0, idleMs: Math.round(ageMs) })
    }
    return found.sort((a, b) => b.idleMs - a.idleMs)
  }

  /** Ends an upload for an operator, whoever began it, and frees its room. */
  async function discard(id: string): Promise<void> {
    // Whoever ended it before has told how.
    await endings.leave(id, NO_BLOB).catch(error => {
      if (!isFull(error)) throw error // what it frees counts for more than that its name is void
    })
    hashes.forget(id)
    await storage.abort(id)
  }

  /** What a session that has not ended has so far. Throws `upload-unknown`. */
  async function open(session: Session): Promise<UploadState | undefined> {
    const [state, ending] = await Promise.all([storage.upload(session.id), endings.find(session.id)])
    if (ending) throw new RegistryError('upload-unknown')
    return state
  }

  /** May be all of a blob, and fits into memory. */
  function isSmall(chunk: Chunk): chunk is SmallChunk {
    const { length = 0, range } = chunk
    return length > 0 && length <= smallBytes && (!range || (range.start === 0 && range.end === length - 1))
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
  async function write(
    session: Session,
    from: UploadState | undefined,
    chunk: Chunk,
    closing: boolean,
    room: Room | undefined
  ): Promise<UploadState> {
    const { range, length } = chunk
    const expected = range && range.end - range.start + 1
    const size = from?.size ?? 0
    // The order counts more than the length: only this error says where the session stands (spec, "Pushing a blob in chunks").
    if (range && range.start !== size) throw new RegistryError('upload-out-of-order', { size })
    if (expected !== undefined && length !== undefined && length !== expected) throw sizeInvalid(expected, length)
    await room?.need(size + (length ?? expected ?? 0))
    const { writer, hash } = hashes.resume(session, from)
    const sized = expected === undefined ? chunk.source : limited(chunk.source, expected)
    const source = room ? admitted(sized, room, size) : sized
    const key = contentKey(session.id)
    const watch = hash && hashing(hash)
    const append = storage.append(session.id, source, { from, writer, key, closing, ...(watch && { watch }) })
    const stored = await (room ? keepingStored(append, session, room) : append)
    if (expected !== undefined && stored - size !== expected) throw sizeInvalid(expected, stored - size)
    return { size: stored, writer }
  }

  /** A body that breaks off leaves the session with less than it has room for. */
  async function keepingStored(append: Promise<number>, session: Session, room: Room): Promise<number> {
    try {
      return await append
    } catch (error) {
      const state = await storage.upload(session.id).catch(() => undefined)
      if (state) room.keep(state.size)
      throw error
    }
  }

  /** Adds the closing chunk; undefined: the bytes were committed by an earlier attempt that got no further. */
  async function writeLast(
    session: Session,
    from: UploadState | undefined,
    chunk: Chunk,
    room: Room | undefined
  ): Promise<UploadState | undefined> {
    if (chunk.length !== 0 || chunk.range) return write(session, from, chunk, true, room)
    if (from) {
      await room?.need(from.size) // another process may have let it in
      return from
    }
    if (await storage.stat(contentKey(session.id))) return undefined
    return write(session, from, chunk, true, room) // a blob of no bytes
  }

  return { start, status, append, finish, single, cancel, expire, open: list, discard }
}

export type Uploads = ReturnType<typeof createUploads>

/** One whose body fits into memory. */
type SmallChunk = Chunk & { length: number }

/** The chunk, read as long as this request has the session. */
const read = (turn: Turn, chunk: Chunk): Chunk => ({ ...chunk, source: turn.read(chunk.source) })
