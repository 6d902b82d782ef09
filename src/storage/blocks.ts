/** The least that is handed out, and the most; in bytes. What lies between are powers of two. */
export const SMALLEST = 64 * 1024
export const LARGEST = 1024 * 1024

/** How many of the smallest blocks the largest holds. */
const PARTS = LARGEST / SMALLEST

/** Memory that threads share. */
export interface Block {
  readonly bytes: Buffer
  /** How many of the smallest blocks lie before it; undefined: it is none of those that are kept. */
  readonly at?: number
}

export interface Blocks {
  /** @param size bytes, a power of two from `SMALLEST` to `LARGEST`. What is in it may be anything. */
  take(size: number): Block
  /** To be called once, when nobody reads or writes it any more. */
  giveBack(block: Block): void
}

/**
 * Blocks of memory that are used again and again. A block is halved where a smaller one is wanted, and two halves are
 * joined again when both are back, so that memory serves streams of one size after those of another: nothing tells V8
 * of shared memory that lies around as garbage, it may lie for very long.
 *
 * @param budget bytes that are kept at most; made when first wanted. More can be taken, which is then thrown away.
 */
export function createBlocks(budget: number): Blocks {
  const memory: SharedArrayBuffer[] = []
  /** Whole ones, those last that were used last: their pages are there. */
  const whole: number[] = []
  const halves = new Map<number, Set<number>>()
  for (let parts = 1; parts < PARTS; parts *= 2) halves.set(parts, new Set())

  const takeWhole = (): number | undefined => {
    const used = whole.pop()
    if (used !== undefined || (memory.length + 1) * LARGEST > budget) return used
    return (memory.push(new SharedArrayBuffer(LARGEST)) - 1) * PARTS
  }
  const takeParts = (parts: number): number | undefined => {
    const same = halves.get(parts)
    if (!same) return takeWhole()
    for (const at of same) {
      same.delete(at)
      return at
    }
    const at = takeParts(parts * 2)
    if (at !== undefined) same.add(at + parts)
    return at
  }

  return {
    take: size => {
      const at = takeParts(size / SMALLEST)
      const shared = at === undefined ? undefined : memory[Math.floor(at / PARTS)]
      if (at === undefined || !shared) return { bytes: Buffer.from(new SharedArrayBuffer(size)) }
      return { bytes: Buffer.from(shared, (at % PARTS) * SMALLEST, size), at }
    },
    giveBack: ({ bytes, at }) => {
      if (at === undefined) return
      let start = at
      for (let parts = bytes.length / SMALLEST; parts < PARTS; parts *= 2) {
        const same = halves.get(parts)
        const otherHalf = start ^ parts
        if (!same?.delete(otherHalf)) return void same?.add(start)
        start = Math.min(start, otherHalf)
      }
      whole.push(start)
    }
  }
}
