import { Gauge, type Registry } from 'prom-client'
import type { StorageDriver } from '../storage/driver.ts'

/** How long a count holds: it looks at every open upload. */
const HOLDS_MS = 60_000
/** Counting stops here: more than this is trouble, whatever the number. */
const MOST = 10_000

/** How many uploads have bytes in the store and have not ended. A scrape gets what is known and never waits for the store. */
export function createUploadCount(register: Registry, storage: Pick<StorageDriver, 'listUploads'>): void {
  let known: number | undefined
  let countedAt = Number.NEGATIVE_INFINITY

  async function count(): Promise<void> {
    let uploads = 0
    const listing = storage.listUploads()[Symbol.asyncIterator]()
    while (uploads < MOST && !(await listing.next()).done) uploads++
    await listing.return?.()
    known = uploads
  }

  new Gauge({
    registers: [register],
    name: 'marina_uploads_open',
    help: `Uploads in the store that have begun and not ended, by all its servers, as of the last minute; at most ${MOST}.`,
    // Every worker and every replica tells of the same store.
    aggregator: 'max',
    collect() {
      if (performance.now() - countedAt >= HOLDS_MS) {
        countedAt = performance.now()
        count().catch(() => {
          known = undefined
        })
      }
      if (known === undefined) this.remove()
      else this.set(known)
    }
  })
}
