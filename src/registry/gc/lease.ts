import { isFull, type StorageDriver } from '../../storage/driver.ts'
import { GC_LEASE } from '../keys.ts'

/** A lease that was not renewed for this long is of a collector that died. */
const LAPSE_MS = 5 * 60 * 1000
const RENEW_MS = 60 * 1000

/**
 * Runs `work` unless another collector is at work; undefined then. This spares the store the same listings twice and
 * nothing more: collectors get along with each other, so here a key may be written over, and two may start at once.
 */
export async function withLease<T>(storage: StorageDriver, work: () => Promise<T>): Promise<T | undefined> {
  // A store without room is what a collection is for.
  const write = (options: { ifAbsent?: boolean } = {}): Promise<boolean> =>
    storage
      .put(GC_LEASE, Buffer.alloc(0), { ...options, durable: false })
      .catch(error => isFull(error) || Promise.reject(error))
  if (!(await write({ ifAbsent: true }))) {
    const lease = await storage.stat(GC_LEASE)
    if (lease && lease.ageMs <= LAPSE_MS) return undefined
    await write()
  }
  const renewing = setInterval(() => void write().catch(() => undefined), RENEW_MS)
  renewing.unref()
  try {
    return await work()
  } finally {
    clearInterval(renewing)
    await storage.delete([GC_LEASE], { durable: false })
  }
}
