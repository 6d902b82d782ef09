import type { Digest } from './digest.ts'
import { RegistryError } from './errors.ts'

/** What is asked before bytes come into a repository, and told when they have come (src/registry/quota.ts). */
export interface Admission {
  /** Throws `quota-exceeded` where a repository holds as much as it may. */
  admit(repository: string): Promise<void>
  /**
   * Room for bytes that are on their way into a repository; undefined: it may hold any amount. The room of an upload
   * session is the same for all of its requests, and holds what the session has until it ends.
   */
  room(repository: string, session?: string): Room | undefined
  /**
   * Room for a blob that is pushed in one request. Requests that push the same blob at once share it, since only one of
   * their copies stays.
   */
  shared(repository: string, digest: Digest): Room | undefined
}

export interface Room {
  /**
   * Reserves room for so many bytes in all. Throws `quota-exceeded`, and then reserves nothing more. Undefined: it is
   * reserved already.
   */
  need(bytes: number): Promise<void> | undefined
  /** Gives up what is reserved beyond these bytes. */
  keep(bytes: number): void
  /** What was reserved is there now, as this blob or manifest. */
  added(kind: 'blob' | 'manifest', digest: Digest): void
  /** Gives up all that is reserved. */
  release(): void
}

/** Room for a blob whose digest is known before its bytes come. */
export interface BlobRoom extends Room {
  /** Whether bytes were let in that nothing is reserved for: they must not stay where the push fails. */
  readonly isBeyond: boolean
}

/**
 * A blob that the repository has already needs no room, up to its size: what has the digest adds nothing, and what has
 * another one is deleted. The repository is asked once, and only where the push would be refused.
 *
 * @param sizeThere the size of the blob that the repository has; undefined: it has none
 */
export function roomForBlob(room: Room, sizeThere: () => Promise<number | undefined>): BlobRoom {
  let looking: Promise<number | undefined> | undefined
  /** Bytes that need no room. */
  let there = 0

  async function letIn(bytes: number, refusal: unknown): Promise<void> {
    if (!(refusal instanceof RegistryError && refusal.kind === 'quota-exceeded')) throw refusal
    looking ??= sizeThere()
    const size = (await looking) ?? 0
    if (bytes > size) throw refusal
    there = size
  }
  return {
    need(bytes) {
      if (bytes <= there) return undefined
      try {
        return room.need(bytes)?.catch(error => letIn(bytes, error))
      } catch (error) {
        return letIn(bytes, error)
      }
    },
    keep: room.keep,
    added: (kind, digest) => (there > 0 ? room.release() : room.added(kind, digest)),
    release: room.release,
    get isBeyond() {
      return there > 0
    }
  }
}

/** The source, with room for each piece before it is passed on: of some bodies nobody says how long they are. */
export async function* admitted(
  source: AsyncIterable<Uint8Array>,
  room: Room,
  before: number
): AsyncGenerator<Uint8Array> {
  let size = before
  for await (const piece of source) {
    size += piece.length
    const reserving = room.need(size)
    if (reserving) await reserving
    yield piece
  }
}
