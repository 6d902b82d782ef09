/** Bytes that are reserved in a repository, for a request or an upload session. */
export interface Held {
  readonly repository: string
  /** Undefined: for one request. */
  readonly session: string | undefined
  bytes: number
  /** When it was used last. */
  usedAt: number
}

/** Most sessions whose room is kept in mind; a process has few at a time. */
const SESSIONS = 100_000

/** What this process has let into repositories and is not there yet: bodies on their way, and upload sessions. */
export function createRooms({ expiryMs, steady }: { expiryMs: number; steady: () => number }) {
  const sums = new Map<string, number>()
  /** The one that was used longest ago first. */
  const sessions = new Map<string, Held>()
  const shared = new Map<string, { held: Held; users: number }>()

  /** Those that were not used for long have expired, and their bytes are given back. */
  function forgetOld(): void {
    for (const held of sessions.values()) {
      if (sessions.size <= SESSIONS && held.usedAt + expiryMs >= steady()) return
      end(held)
    }
  }

  /** Bytes that are reserved in a repository. */
  function reserved(repository: string): number {
    forgetOld()
    return sums.get(repository) ?? 0
  }

  function of(repository: string, session: string | undefined): Held {
    const known = session === undefined ? undefined : sessions.get(session)
    const held = known ?? { repository, session, bytes: 0, usedAt: 0 }
    if (known) touch(known)
    return held
  }

  /** A session that holds nothing needs no place. */
  function touch(held: Held): void {
    held.usedAt = steady()
    if (held.session === undefined) return
    sessions.delete(held.session)
    if (held.bytes > 0) sessions.set(held.session, held)
  }

  /** Reserves this many bytes from now on. */
  function hold(held: Held, bytes: number): void {
    const sum = (sums.get(held.repository) ?? 0) + bytes - held.bytes
    if (sum > 0) sums.set(held.repository, sum)
    else sums.delete(held.repository)
    held.bytes = bytes
    touch(held)
  }

  const end = (held: Held): void => hold(held, 0)

  /** The same for all who hold it under one name at once. The last one to leave ends it. */
  function share(repository: string, name: string): { held: Held; leave: () => void } {
    const key = `${repository} ${name}`
    const entry = shared.get(key) ?? { held: of(repository, undefined), users: 0 }
    shared.set(key, entry)
    entry.users++
    let isOver = false
    const leave = (): void => {
      if (isOver) return
      isOver = true
      if (--entry.users > 0) return
      shared.delete(key)
      end(entry.held)
    }
    return { held: entry.held, leave }
  }

  return { reserved, of, hold, end, share }
}
