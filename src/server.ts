import closeWithGrace from 'close-with-grace'
import type { FastifyInstance } from 'fastify'
import { buildApp, processMetrics } from './app.ts'
import { registryNote } from './config/registry-report.ts'
import { type Config, configWarnings, loadConfig } from './config.ts'
import { listen, listenForMonitors, StartError } from './listening.ts'
import type { ProcessMetrics } from './metrics/exposition.ts'
import { createMonitor } from './monitor.ts'
import { StorageError } from './storage/driver.ts'

/** How often idle connections are closed while the server closes. */
const SWEEP_MS = 100

/** What closing may still take once every connection is gone. */
const LAST_WORK_MS = 5000

/**
 * Runs the registry until SIGTERM or SIGINT: no new connections from then on, requests in flight finish within
 * SHUTDOWN_TIMEOUT, exit code 0. Resolves when it listens. Throws `ConfigError` or `StartError` when it can't start.
 */
export async function serve(env: NodeJS.ProcessEnv): Promise<void> {
  const config = loadConfig(env)
  const metrics = config.metricsPort === undefined ? undefined : await processMetrics()
  const app = await build(config, metrics)
  const monitor = metrics && createMonitor({ exposition: metrics, ready: () => isReady(app) })
  // Before listening: as process 1 of a container, a process without a handler would not hear SIGTERM at all.
  closeWithGrace(
    {
      delay: config.shutdownTimeoutMs + LAST_WORK_MS,
      logger: app.log,
      skip: ['beforeExit'],
      onTimeout: () => process.exit(0)
    },
    async ({ err, signal }) => {
      if (err) app.log.fatal(err, 'an error that nothing caught: closing')
      else app.log.info(`${signal}: closing, requests in flight have ${config.shutdownTimeoutMs / 1000} s to finish`)
      await close(app, config.shutdownTimeoutMs)
      // Last, so that probes are told that it is closing.
      await monitor?.close()
    }
  )
  try {
    await listen(app, config)
    if (monitor) await listenForMonitors(monitor, app.log, config)
  } catch (error) {
    await app.close()
    throw error
  }
  const note = registryNote(env)
  if (note !== undefined) app.log.info(note)
  for (const warning of configWarnings(env)) app.log.warn(warning)
}

async function build(config: Config, metrics: ProcessMetrics | undefined): Promise<FastifyInstance> {
  quietSdk(config)
  return buildApp(config, { metrics }).catch(error => {
    throw storageProblem(error, config)
  })
}

/** Which Node.js a coming version of the AWS SDK wants is for whoever updates the registry, not for who runs it. */
export function quietSdk({ s3 }: Config): void {
  if (s3) process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= 'true'
}

/** What the operator is told where the storage can't be used: one line that names the variable. */
export function storageProblem(error: unknown, config: Config): unknown {
  if (!(error instanceof StorageError)) return error
  // The S3 driver's own sentence names the variable to mend.
  if (config.s3) return new StartError(error.message)
  const given = JSON.stringify(config.storagePath)
  return new StartError(`STORAGE_PATH is ${given}: ${error.message}; allowed: a folder that this process may write`)
}

/** Whether requests are to be sent to the app. One that closes takes no such question any more. */
function isReady(app: FastifyInstance): Promise<boolean> {
  return app.inject('/readyz').then(
    ({ statusCode }) => statusCode === 200,
    () => false
  )
}

/**
 * Closes the app, its requests in flight first. Fastify closes the connections that are idle at the start; one that
 * becomes idle later would hold the server until its keep-alive ends (72 s).
 */
async function close(app: FastifyInstance, timeoutMs: number): Promise<void> {
  const sweep = setInterval(() => app.server.closeIdleConnections(), SWEEP_MS)
  const deadline = setTimeout(() => {
    app.log.warn(`requests did not finish within ${timeoutMs / 1000} s: their connections are cut`)
    app.server.closeAllConnections()
  }, timeoutMs)
  await app.close()
  clearInterval(sweep)
  clearTimeout(deadline)
}
