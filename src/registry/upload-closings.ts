import { type StorageDriver, StorageError, type UploadState } from '../storage/driver.ts'
import type { Blobs } from './blobs.ts'
import { type Algorithm, algorithmOf, type Digest, digestChunks } from './digest.ts'
import { type Ending, type Endings, type Made, NO_BLOB } from './endings.ts'
import { RegistryError } from './errors.ts'
import { contentKey } from './keys.ts'
import type { Session } from './session.ts'
import { digestIfSame, type Hashes } from './upload-hashes.ts'

export interface ClosingOptions {
  storage: StorageDriver
  blobs: Blobs
  endings: Endings
  hashes: Hashes
  /** Blobs up to this size, in bytes, are stored anew with every push. */
  smallBytes: number
}

/** How a session becomes a blob, and what becomes of it otherwise (docs/storage.md, "Uploads"). */
export function createClosings({ storage, blobs, endings, hashes, smallBytes }: ClosingOptions) {
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
    const known = hashes.take(session)
    const key = contentKey(session.id)
    const endedByAnother = async (): Promise<void> => {
      const ending = await endings.find(session.id)
      // Which content it is has been settled, so nobody links this one any more.
      if (ending && ending.content !== session.id) await storage.delete([key], { durable: false })
      await repeat(repository, session, digest, ending)
    }
    const algorithm = algorithmOf(digest)
    const [committed, sent] = await Promise.all([
      storage.commit(session.id, key, state),
      digestIfSame(known, state, algorithm)
    ])
    if (!committed) return endedByAnother()
    const hashed = committed.existed ? undefined : sent
    const actual = hashed ?? (await digestContent(session, algorithm))
    if (actual === undefined) return endedByAnother()
    // Content that has been there for a while may be about to be collected (docs/storage.md, "Collecting").
    if (!hashed && !(await blobs.mayLink(session.id))) throw new RegistryError('upload-unknown')
    if (actual !== digest) {
      if (recorded && !(await end(session, NO_BLOB))) return endedByAnother()
      if (!committed.existed) await storage.delete([key], { durable: false })
      // Not what was sent: another request's, or what some S3 servers keep of a connection that broke.
      if (state && committed.size !== state.size) throw new RegistryError('upload-unknown')
      throw new RegistryError('digest-mismatch', { digest, actual })
    }
    // Which content it is goes into the ending, so that nobody links the session's own once it may be deleted.
    const shared = committed.size > smallBytes ? await blobs.shareable(digest) : undefined
    const content = shared?.content ?? session.id
    if (recorded && !(await end(session, { digest, content }))) return endedByAnother()
    await publish(repository, session, { digest, content }, committed.size)
  }

  /** Undefined: another request has ended the session meanwhile, and deleted its content. */
  async function digestContent(session: Session, algorithm: Algorithm): Promise<Digest | undefined> {
    const body = await storage.read(contentKey(session.id))
    if (body) return digestChunks(body.chunks, algorithm)
    if (await endings.find(session.id)) return undefined
    throw new StorageError('unavailable', 'content went while it was being checked')
  }

  /** The link, which makes the blob. The session's own bytes go where the registry had them already. */
  async function publish(repository: string, { id }: Session, { digest, content }: Made, size: number): Promise<void> {
    if (content === id) return blobs.publish(repository, digest, content, size)
    await blobs.link(repository, digest, content, size)
    await storage.delete([contentKey(id)], { durable: false })
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
    hashes.forget(session.id)
    return endings.leave(session.id, ending)
  }

  /**
   * Of all the blob's bytes. They become content under an id that nobody else knows, so that they can go again where the
   * session has ended: its own id might be that of content which was taken away meanwhile.
   */
  async function finishWhole(repository: string, session: Session, digest: Digest, bytes: Buffer): Promise<void> {
    const content = await blobs.store(bytes)
    if (await end(session, { digest, content })) return blobs.publish(repository, digest, content, bytes.length)
    await storage.delete([contentKey(content)], { durable: false })
    await repeat(repository, session, digest, await endings.find(session.id))
  }

  return { settle, finishWhole, repeat, end }
}
