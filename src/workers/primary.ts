import cluster, { type Worker } from 'node:cluster'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import closeWithGrace from 'close-with-grace'
import Fastify from 'fastify'
import type { Config } from '../config.ts'
import { listenForMonitors, StartError } from '../listening.ts'
import { loggerOptions } from '../logger.ts'
import { createMonitor } from '../monitor.ts'
import type { RegistryLog } from '../registry/log.ts'
import { closingLine, LAST_WORK_MS } from '../running.ts'
import { type Calls, createCalls } from './calls.ts'
import { pauseAfter, WORKER_SLOT, WORKER_TELLS } from './slots.ts'
import type { Snapshot, Sum } from './sum.ts'

/** A worker that answers is asked again after this long at the latest. */
const LONGEST_WATCH_PAUSE_MS = 5000

/** A worker at work. */
interface Running {
  worker: Worker
  calls: Calls
  startedAt: number
  /** The pause before it was started. */
  pauseMs: number
}

/**
 * Serves by several workers on one port, until SIGTERM or SIGINT. This process forks them, replaces those that end, and
 * tells their metrics as those of one server; no request passes through it. Resolves when the first one listens. Throws
 * StartError with what that one says.
 *
 * @param report what to log before anything else
 */
export async function servePrimary(config: Config, report: (log: RegistryLog) => void): Promise<void> {
  const { log } = Fastify({ logger: loggerOptions(config) ?? false })
  report(log)
  const pool = await createPool(config, log)
  const monitor = pool.sum && createMonitor({ exposition: pool.sum, ready: pool.ready })
  closeWithGrace(
    { delay: config.shutdownTimeoutMs + 2 * LAST_WORK_MS, logger: log, skip: ['beforeExit'], onTimeout: pool.kill },
    async ({ err, signal }) => {
      if (err) log.fatal(err, 'an error that nothing caught: closing')
      else log.info(closingLine(String(signal), config))
      await pool.close()
      await monitor?.close()
    }
  )
  const ownPort = config.metricsPort === undefined ? undefined : monitor
  const metricsLine = ownPort && (await listenForMonitors(ownPort, config))
  try {
    await pool.start()
  } catch (error) {
    await ownPort?.close()
    throw error
  }
  if (metricsLine) log.info(metricsLine)
}

async function createPool(config: Config, log: RegistryLog) {
  const measured = config.metricsEnabled || config.metricsPort !== undefined
  const running = new Map<number, Running>()
  const sum = measured ? await openSum(running) : undefined
  let closing = false

  /** Resolves when the worker listens; throws StartError where it can't. */
  function fork(slot: number, pauseMs: number, tells = false): Promise<void> {
    const worker = cluster.fork({ [WORKER_SLOT]: String(slot), ...(tells && { [WORKER_TELLS]: '1' }) })
    const startedAt = performance.now()
    return new Promise((resolve, reject) => {
      const calls = createCalls(worker, {
        listening: () => {
          resolve()
          void watch(slot, worker, calls)
        },
        failed: message => reject(new StartError(String(message))),
        exposition: () => sum?.text()
      })
      running.set(slot, { worker, calls, startedAt, pauseMs })
      worker.once('exit', (code, signal) => {
        reject(new StartError(`a worker ended before it served (${signal ?? code})`))
        void ended(slot, worker, signal ?? code)
      })
    })
  }

  /**
   * Ends a worker whose event loop stands still: nobody else would notice, and it is still given connections. It is asked
   * twice before that, since all processes may have stood still together.
   */
  async function watch(slot: number, worker: Worker, calls: Calls): Promise<void> {
    const { workerTimeoutMs } = config
    if (workerTimeoutMs === 0) return
    const limitMs = workerTimeoutMs / 2
    const answers = (): Promise<boolean> =>
      calls.ask('alive', undefined, limitMs).then(
        () => true,
        () => false
      )
    while ((await answers()) || (await answers()))
      await sleep(Math.min(limitMs, LONGEST_WATCH_PAUSE_MS), undefined, { ref: false })
    if (closing || running.get(slot)?.worker !== worker) return
    const { pid } = worker.process
    log.error(
      { worker: slot, pid },
      `a worker has not answered for ${workerTimeoutMs / 1000} s (WORKER_TIMEOUT): it is killed`
    )
    worker.process.kill('SIGKILL')
  }

  async function ended(slot: number, worker: Worker, how: string | number): Promise<void> {
    const { startedAt, pauseMs: before } = running.get(slot)!
    running.delete(slot)
    await sum?.retire(worker.id)
    if (closing) return
    const pauseMs = pauseAfter(performance.now() - startedAt, before)
    log.error({ worker: slot, pid: worker.process.pid, ended: how }, 'a worker ended: another takes its place')
    await sleep(pauseMs)
    if (closing) return
    await fork(slot, pauseMs).catch(error => log.error({ err: error, worker: slot }, 'a worker could not start'))
  }

  /** The first one finds out whether the server can start at all. */
  async function start(): Promise<void> {
    try {
      await fork(0, 0, true)
    } catch (error) {
      closing = true
      throw error
    }
    for (let slot = 1; slot < config.workers && !closing; slot++) {
      fork(slot, 0).catch(error => log.error({ err: error, worker: slot }, 'a worker could not start'))
    }
  }

  async function close(): Promise<void> {
    closing = true
    const exits = [...running.values()].map(({ worker, calls }) => {
      const exit = once(worker, 'exit')
      void calls.ask('close').catch(() => undefined)
      return exit
    })
    await Promise.all(exits)
  }

  function kill(): void {
    for (const { worker } of running.values()) worker.process.kill('SIGKILL')
    process.exit(0)
  }

  /** One that works is enough: the others are given no connections while they are not there. */
  async function ready(): Promise<boolean> {
    if (closing) return false
    const answers = [...running.values()].map(({ calls }) => calls.ask('ready', undefined, 5000).catch(() => false))
    return (await Promise.all(answers)).includes(true)
  }

  return { start, close, kill, ready, sum }
}

/** prom-client is loaded only where something is measured. */
async function openSum(running: ReadonlyMap<number, Running>): Promise<Sum> {
  const { createSum } = await import('./sum.ts')
  return createSum(async () => {
    const asked = [...running.values()].map(async ({ worker, calls }) => {
      const snapshot = await calls.ask('metrics').catch(() => undefined)
      return [worker.id, snapshot as Snapshot | undefined] as const
    })
    return new Map(await Promise.all(asked))
  })
}
