import { setImmediate as othersTurn } from 'node:timers/promises'

/** What a local folder answers comes at once, so that without a pause nothing else would be served meanwhile. */
const WITHOUT_PAUSE = 16

/**
 * Runs `work` over `items`, at most `width` at a time, and returns the results in the items' order. The first failure
 * is thrown; what was begun goes on, nothing more is begun.
 */
export async function parallel<T, R>(items: readonly T[], width: number, work: (item: T) => Promise<R>): Promise<R[]> {
  const results = new Array<R>(items.length)
  let next = 0
  const lane = async (): Promise<void> => {
    while (next < items.length) {
      const index = next++
      if (index > 0 && index % WITHOUT_PAUSE === 0) await othersTurn()
      try {
        results[index] = await work(items[index]!)
      } catch (error) {
        next = items.length
        throw error
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, lane))
  return results
}
