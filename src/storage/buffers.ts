import { type Block, createBlocks, LARGEST, SMALLEST } from './blocks.ts'

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
  const blocks = createBlocks(budget)

  return {
    open: (bytes = Number.POSITIVE_INFINITY) => {
      const size = shareOf(Math.min((budget - reserved) / 64, bytes))
      const taken: Block[] = []
      reserved += 2 * size
      return {
        size,
        take: () => {
          const block = blocks.take(size)
          taken.push(block)
          return block.bytes
        },
        end: () => {
          reserved -= 2 * size
          for (const block of taken.splice(0)) blocks.giveBack(block)
        }
      }
    }
  }
}

/** A power of two. */
function shareOf(bytes: number): number {
  let size = SMALLEST
  while (size < LARGEST && size * 2 <= bytes) size *= 2
  return size
}
