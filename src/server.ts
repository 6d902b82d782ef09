import cluster from 'node:cluster'
import { reportAnonymousWrites } from './anonymous-writes.ts'
import { processMetrics } from './app.ts'
import { registryNote } from './config/registry-report.ts'
import { type Config, configWarnings, loadConfig } from './config.ts'
import { foreignLayout } from './foreign-layout.ts'
import { listen, listenForMonitors } from './listening.ts'
import { createMonitor } from './monitor.ts'
import type { RegistryLog } from './registry/log.ts'
import { build, endGracefully, isReady } from './running.ts'
import { WORKER_SLOT } from './workers/slots.ts'

/**
 * Runs the registry until SIGTERM or SIGINT: no new connections from then on, requests in flight finish within
 * SHUTDOWN_TIMEOUT, exit code 0. Resolves when it listens. Throws `ConfigError` or `StartError` when it can't start.
 */
export async function serve(env: NodeJS.ProcessEnv): Promise<void> {
  const config = loadConfig(env)
  // Other programs that fork, such as process managers, have workers of their own.
  if (cluster.isWorker && env[WORKER_SLOT] !== undefined)
    return (await import('./workers/worker.ts')).serveAsWorker(config, env)
  const foreign = await foreignLayout(config)
  const report = (log: RegistryLog): void => {
    if (foreign !== undefined) log.warn({}, foreign)
    const note = registryNote(env)
    if (note !== undefined) log.info({}, note)
    for (const warning of configWarnings(env)) log.warn({}, warning)
  }
  if (config.workers === 1) await serveAlone(config, report)
  else await (await import('./workers/primary.ts')).servePrimary(config, report)
}

/**
 * Serves in this process.
 *
 * @param report what to log before anything else
 */
async function serveAlone(config: Config, report: (log: RegistryLog) => void): Promise<void> {
  const metrics = config.metricsPort === undefined ? undefined : await processMetrics()
  const app = await build(config, metrics)
  report(app.log)
  const monitor =
    metrics && createMonitor({ exposition: metrics, ready: async () => app.server.listening && isReady(app) })
  // Before listening: as process 1 of a container, a process without a handler would not hear SIGTERM at all. The monitor
  // goes last, so that probes are told that the app is closing.
  endGracefully(app, config, { last: async () => monitor?.close() })
  try {
    // The monitor first: a start that fails at the second port has not said that it listens at the first.
    const metricsLine = monitor && (await listenForMonitors(monitor, config))
    await listen(app, config)
    reportAnonymousWrites(app, config)
    if (metricsLine) app.log.info(metricsLine)
  } catch (error) {
    await app.close()
    await monitor?.close()
    throw error
  }
}
