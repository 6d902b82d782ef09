const SMALLEST = 64 * 1024
const LARGEST = 1024 * 1024

/** What one stream may hold: two buffers of `size` bytes. */
export interface BufferShare {
  readonly size: number
  /** A buffer of `size` bytes with anything in it, in memory that threads share; it goes back to the pool with `end`. */
  take(): Buffer
  /** Gives the share and its buffers back. To be called once, when nothing reads into them any more. */
  end(): void
}

export interface Buffers {
  /** @param bytes all that the stream will carry, where that is known: no larger buffers are given for it. */
  open(bytes?: number): BufferShare
}

/**
 * The memory that all streams of a process share. One alone gets buffers of 1 MiB; the more are open the smaller the
 * buffers, down to 64 KiB, which a stream gets even when the budget is spent: a slow reader must not stop the others.
 *
 * @param budget bytes
 */
export function createBuffers(budget: number): Buffers {
  let reserved = 0
  let idleBytes = 0
  const idle = new Map<number, Buffer[]>()

  const giveBack = (buffer: Buffer): void => {
    if (reserved + idleBytes + buffer.length > budget) return
    idleBytes += buffer.length
    const same = idle.get(buffer.length)
    if (same) same.push(buffer)
    else idle.set(buffer.length, [buffer])
  }
  const takeOne = (size: number): Buffer => {
    const buffer = idle.get(size)?.pop()
    if (buffer) idleBytes -= size
    return buffer ?? Buffer.from(new SharedArrayBuffer(size))
  }

  return {
    open: (bytes = Number.POSITIVE_INFINITY) => {
      const size = shareOf(Math.min((budget - reserved) / 64, bytes))
      const taken: Buffer[] = []
      reserved += 2 * size
      if (reserved + idleBytes > budget) {
        idle.clear()
        idleBytes = 0
      }
      return {
        size,
        take: () => {
          const buffer = takeOne(size)
          taken.push(buffer)
          return buffer
        },
        end: () => {
          reserved -= 2 * size
          for (const buffer of taken.splice(0)) giveBack(buffer)
        }
      }
    }
  }
}

/** Powers of two only, so that buffers given back fit the next stream. */
function shareOf(bytes: number): number {
  let size = SMALLEST
  while (size < LARGEST && size * 2 <= bytes) size *= 2
  return size
}
