const MIB = 1024 * 1024

/** S3 takes no part with a higher number. */
export const MOST_PARTS = 10_000
/** How many parts have one size before the next ones are twice as large. */
const EQUAL_PARTS = 512
const LARGEST_GROWN = 64 * MIB

/** How an upload is cut into parts. It is settled when the upload begins. */
export interface PartPlan {
  /** Bytes of the first parts. */
  size: number
  /** Later parts are larger; otherwise all but the last are equal, as some servers want them. */
  grows: boolean
}

/**
 * Bytes of the part with this number. From 8 MiB on, ten thousand parts that grow hold 557 GiB, equal ones 78 GiB; from
 * 525 MiB on they hold S3's largest object, 5 TiB.
 */
export function sizeOfPart({ size, grows }: PartPlan, number: number): number {
  if (!grows || size >= LARGEST_GROWN) return size
  return Math.min(LARGEST_GROWN, size * 2 ** Math.floor((number - 1) / EQUAL_PARTS))
}

/** Smaller pieces of a source are copied together: each one kept by itself costs more than its bytes. */
const SMALL = 4 * 1024
const BLOCK = 64 * 1024

/** Bytes of a source in memory, as the source gave them where they are no mere crumbs. */
export function createGathering() {
  let pieces: Uint8Array[] = []
  let size = 0
  let block = Buffer.alloc(0)
  let filled = 0

  const closeBlock = (): void => {
    if (filled > 0) pieces.push(block.subarray(0, filled))
    block = block.subarray(filled)
    filled = 0
  }
  const copy = (piece: Uint8Array): void => {
    if (filled + piece.length > block.length) {
      closeBlock()
      if (piece.length > block.length) block = Buffer.allocUnsafeSlow(BLOCK)
    }
    block.set(piece, filled)
    filled += piece.length
  }

  return {
    size: () => size,
    add(piece: Uint8Array): void {
      size += piece.length
      if (piece.length < SMALL) {
        copy(piece)
        return
      }
      closeBlock()
      pieces.push(piece)
    },
    /** All of it, in order; nothing stays. */
    take(): Uint8Array[] {
      closeBlock()
      const taken = pieces
      pieces = []
      size = 0
      return taken
    }
  }
}

/** What an upload may gather though memory is short: less would be too many requests. */
const LEAST = 256 * 1024

/** One upload's part of the memory. */
export interface Share {
  /** So many bytes more are held; fewer, if negative. */
  hold(bytes: number): void
  /** Whether an upload that has gathered so much should let go of it. */
  isShort(gathered: number): boolean
  /** Gives back all that is held. */
  end(): void
}

/**
 * The memory that all uploads of a process share. While there is any left, parts are gathered whole. When it is spent, whoever
 * has its even share or more stores what it has: nobody waits for another, whose client may be asleep.
 *
 * @param total bytes; up to half as much again is held for a while
 */
export function createBudget(total: number): { open(): Share } {
  let held = 0
  let open = 0
  return {
    open: () => {
      open++
      let own = 0
      const hold = (bytes: number): void => {
        own += bytes
        held += bytes
      }
      return {
        hold,
        isShort: gathered => held >= total && gathered >= Math.max(LEAST, total / (2 * open)),
        end: () => {
          hold(-own)
          open--
        }
      }
    }
  }
}

export type Budget = ReturnType<typeof createBudget>
