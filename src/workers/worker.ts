import { reportAnonymousWrites } from '../anonymous-writes.ts'
import { processMetrics } from '../app.ts'
import type { Config } from '../config.ts'
import { listen, StartError } from '../listening.ts'
import type { Exposition, ProcessMetrics } from '../metrics/exposition.ts'
import { build, endGracefully, isReady } from '../running.ts'
import { type Calls, createCalls } from './calls.ts'
import { WORKER_SLOT, WORKER_TELLS } from './slots.ts'

/** The least that the streams of a process need, and its cache. */
const LEAST_BUFFERS = 8 * 2 ** 20
const LEAST_CACHE = 2 ** 20

/** Signals come to all processes of a terminal or a service at once. The primary hears them, and tells the workers. */
const PRIMARYS = ['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTERM'] as const

/** What the primary may ask for. */
interface State {
  end?: () => void
  metrics?: ProcessMetrics
  /** Whether it listens. */
  serves: boolean
  ready: () => Promise<boolean>
}

/** Serves as one of several processes, until the primary says that it is over or is no longer there. */
export async function serveAsWorker(whole: Config, env: NodeJS.ProcessEnv): Promise<void> {
  const config = shareOf(whole, Number(env[WORKER_SLOT]))
  for (const signal of PRIMARYS) process.on(signal, () => {})
  const state: State = { serves: false, ready: async () => false }
  const primary = createCalls(process, {
    close: () => state.end?.(),
    alive: () => true,
    metrics: () => (state.serves ? state.metrics?.register.getMetricsAsJSON() : undefined),
    ready: () => state.ready()
  })
  process.once('disconnect', () => (state.end ? state.end() : process.exit(1)))
  try {
    if (whole.metricsEnabled || whole.metricsPort !== undefined) state.metrics = await processMetrics()
    const quiet = env[WORKER_TELLS] === undefined
    const app = await build(config, ofAll(state.metrics, primary), { quiet })
    state.ready = () => isReady(app)
    state.end = endOnce(endGracefully(app, config, { skip: PRIMARYS }))
    await listen(app, config)
    reportAnonymousWrites(app, config)
    state.serves = true
    app.log.level = config.logLevel
  } catch (error) {
    if (!(error instanceof StartError)) throw error
    await primary.ask('failed', error.message).catch(() => undefined)
    process.exit(1)
  }
  await primary.ask('listening')
}

/** A worker's part of what is set for all. One of them collects, and one at a time is enough for any store. */
function shareOf(config: Config, slot: number): Config {
  const { workers, bufferMemoryBytes, cacheMemoryBytes, gcIntervalMs } = config
  return {
    ...config,
    bufferMemoryBytes: Math.max(LEAST_BUFFERS, partOf(bufferMemoryBytes, workers)),
    cacheMemoryBytes: Math.max(LEAST_CACHE, partOf(cacheMemoryBytes, workers)),
    gcIntervalMs: slot === 0 ? gcIntervalMs : 0
  }
}

/** In whole KiB. */
const partOf = (bytes: number, workers: number): number => Math.floor(bytes / workers / 1024) * 1024

/** Gathers the metrics of this process, and tells those of all: which of them a scrape reaches is chance. */
function ofAll(metrics: ProcessMetrics | undefined, primary: Calls): ProcessMetrics | undefined {
  if (!metrics) return undefined
  const text: Exposition['text'] = async () => String(await primary.ask('exposition', undefined, 5000))
  return { ...metrics, text }
}

/** The primary may go while this process closes: then nobody waits for it any more. */
function endOnce(end: () => void): () => void {
  let ending = false
  return () => {
    if (ending) process.exit(1)
    ending = true
    end()
  }
}
