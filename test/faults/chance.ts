/** Choices that a seed determines, so that what was found once can be found again. */
export interface Chance {
  /** A whole number, both ends inclusive. */
  between(least: number, most: number): number
  happens(share: number): boolean
  /** One of them; there must be one. */
  one<T>(of: readonly T[]): T
}

export function createChance(seed: number): Chance {
  let state = (seed + 1) * 0x9e3779b9
  /** Splitmix32: from 0 to below 1. */
  const next = (): number => {
    state = (state + 0x9e3779b9) | 0
    let mixed = state ^ (state >>> 16)
    mixed = Math.imul(mixed, 0x21f0aaad)
    mixed ^= mixed >>> 15
    mixed = Math.imul(mixed, 0x735a2d97)
    mixed ^= mixed >>> 15
    return (mixed >>> 0) / 2 ** 32
  }
  const between = (least: number, most: number): number => least + Math.floor(next() * (most - least + 1))
  return { between, happens: share => next() < share, one: of => of[between(0, of.length - 1)]! }
}
