import { setTimeout as sleep } from 'node:timers/promises'
import fp from 'fastify-plugin'
import { withLease } from '../src/registry/gc/lease.ts'
import type { Report } from '../src/registry/gc/report.ts'
import { createCollector } from '../src/registry/gc.ts'

export interface GcOptions {
  /** ms from one collection to the next; 0: there is none. */
  intervalMs: number
  graceMs: number
  uploadExpiryMs: number
  /** Told what a collection of this process came to; undefined: it failed. */
  collected?: ((report: Report | undefined) => void) | undefined
}

/** Collecting takes no more than this part of the time of a server. */
const SHARE = 0.25

/** A timer of Node.js is good for 2^31 - 1 ms. */
const LONGEST_SLEEP_MS = 2 ** 31 - 1

/**
 * Collects what nothing needs, again and again while the app is open; the first time after a random part of the
 * interval, so that replicas that were started together take turns.
 */
export default fp<GcOptions>(
  async (app, { intervalMs, graceMs, uploadExpiryMs, collected }) => {
    if (intervalMs === 0) return
    const { storage, registry, log } = app
    const collector = createCollector({ storage, registry, graceMs, uploadExpiryMs, share: SHARE })
    const closing = new AbortController()
    const { signal } = closing

    async function pause(ms: number): Promise<void> {
      for (let left = ms; left > 0; left -= LONGEST_SLEEP_MS) {
        await sleep(Math.min(left, LONGEST_SLEEP_MS), undefined, { signal, ref: false })
      }
    }

    async function collect(): Promise<void> {
      try {
        const report = await withLease(storage, () => collector.collect({ signal }))
        if (!report) return log.debug('another process collects garbage')
        collected?.(report)
        const { problems, ...counts } = report
        log.info(counts, 'garbage collected')
        for (const { repository, message } of problems) log.warn({ repository }, message)
      } catch (error) {
        if (signal.aborted) return
        collected?.(undefined)
        log.warn({ err: error }, 'garbage collection stopped; the next one goes on')
      }
    }

    async function rounds(): Promise<void> {
      await pause(Math.random() * intervalMs)
      for (;;) {
        await collect()
        await pause(intervalMs)
      }
    }

    const ended = rounds().catch(error => {
      if (!signal.aborted) throw error
    })
    app.addHook('onClose', async () => {
      closing.abort()
      await ended
    })
  },
  { name: 'gc', dependencies: ['storage', 'registry'], fastify: '5.x' }
)
