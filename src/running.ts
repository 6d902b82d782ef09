import closeWithGrace from 'close-with-grace'
import type { FastifyInstance } from 'fastify'
import { buildApp } from './app.ts'
import type { Config } from './config.ts'
import { StartError } from './listening.ts'
import type { ProcessMetrics } from './metrics/exposition.ts'
import { StorageError } from './storage/driver.ts'

/** How often idle connections are closed while the server closes. */
const SWEEP_MS = 100

/** What closing may still take once every connection is gone. */
export const LAST_WORK_MS = 5000

/** The app as it is configured. Throws StartError when the storage can't be used. */
export async function build(
  config: Config,
  metrics: ProcessMetrics | undefined,
  { quiet = false } = {}
): Promise<FastifyInstance> {
  quietSdk(config)
  return buildApp(config, { metrics, quiet }).catch(error => {
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
  const problem = error.message.replace(/\.$/, '')
  const may = config.readOnly ? 'read' : 'write'
  return new StartError(`STORAGE_PATH is ${given}: ${problem}; allowed: a folder that this process may ${may}`)
}

/** Whether requests are to be sent to the app. One that closes takes no such question any more. */
export function isReady(app: FastifyInstance): Promise<boolean> {
  return app.inject('/readyz').then(
    ({ statusCode }) => statusCode === 200,
    () => false
  )
}

/**
 * Closes the app, its requests in flight first. Fastify closes the connections that are idle at the start; one that
 * becomes idle later would hold the server until KEEP_ALIVE_TIMEOUT.
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

/** Signals that end a server. */
type EndingSignal = 'SIGHUP' | 'SIGINT' | 'SIGQUIT' | 'SIGTERM'

export interface Ending {
  /** Signals that are somebody else's business. */
  skip?: readonly EndingSignal[]
  /** Done when the app has been closed. */
  last?: () => Promise<unknown>
}

/** Closes the app on a signal or an error that nothing caught, and ends the process. Returns what does so at any other time. */
export function endGracefully(app: FastifyInstance, config: Config, { skip = [], last }: Ending = {}): () => void {
  const { close: end } = closeWithGrace(
    {
      delay: config.shutdownTimeoutMs + LAST_WORK_MS,
      logger: app.log,
      skip: ['beforeExit', ...skip],
      onTimeout: () => process.exit(0)
    },
    async ({ err, signal }) => {
      if (err) app.log.fatal(err, 'an error that nothing caught: closing')
      else if (signal) app.log.info(closingLine(signal, config))
      await close(app, config.shutdownTimeoutMs)
      await last?.()
    }
  )
  return end
}

/** What the log says when a server begins to close. */
export const closingLine = (signal: string, { shutdownTimeoutMs }: Config): string =>
  `${signal}: closing, requests in flight have ${shutdownTimeoutMs / 1000} s to finish`
