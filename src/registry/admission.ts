import type { Digest } from './digest.ts'

/** What is asked before bytes come into a repository, and told when they have come (src/registry/quota.ts). */
export interface Admission {
  /** Throws `quota-exceeded` where a repository holds as much as it may. */
  admit(repository: string): Promise<void>
  /**
   * Room for bytes that are on their way into a repository; undefined: it may hold any amount. The room of an upload
   * session is the same for all of its requests, and holds what the session has until it ends.
   */
  room(repository: string, session?: string): Room | undefined
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
