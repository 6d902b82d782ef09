import { resolve } from 'node:path'
import closeWithGrace from 'close-with-grace'
import type { FastifyInstance } from 'fastify'
import { buildApp } from './app.ts'
import { registryNote } from './config/registry-report.ts'
import { type Config, configWarnings, defaults, loadConfig } from './config.ts'
import { StorageError } from './storage/driver.ts'

/** The server can't start, for a reason its operator can mend; the message is one line for them. */
export class StartError extends Error {
  override readonly name = 'StartError'
}

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
  const app = await build(config)
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
    }
  )
  try {
    await listen(app, config)
  } catch (error) {
    await app.close()
    throw startError(error, config)
  }
  const note = registryNote(env)
  if (note !== undefined) app.log.info(note)
  for (const warning of configWarnings(env)) app.log.warn(warning)
}

async function build(config: Config): Promise<FastifyInstance> {
  quietSdk(config)
  return buildApp(config).catch(error => {
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

/** Listens as configured; the first line of the log says where, and where the content is. */
export async function listen(app: Pick<FastifyInstance, 'listen'>, config: Config): Promise<void> {
  const place = placeOf(config)
  const at = (host: string) =>
    app.listen({ port: config.port, host, listenTextResolver: url => `listening at ${url}, content in ${place}` })
  try {
    // For this name Fastify opens a second server that it closes without waiting for its requests.
    await at(config.host === 'localhost' ? '127.0.0.1' : config.host)
  } catch (error) {
    const ipv6Off = ['EAFNOSUPPORT', 'EADDRNOTAVAIL'].includes(code(error))
    if (!ipv6Off || config.host !== defaults.host) throw error
    await at('0.0.0.0')
  }
}

function placeOf({ s3, storagePath }: Config): string {
  if (!s3) return resolve(storagePath)
  const { bucket, prefix, endpoint, region } = s3
  return `bucket ${bucket}${prefix ? `, below ${prefix},` : ''} at ${endpoint ?? `AWS in ${region}`}`
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

function startError(error: unknown, { port, host }: Config): unknown {
  switch (code(error)) {
    case 'EADDRINUSE':
      return new StartError(`PORT is ${port}, where another program listens${airPlay(port)}; allowed: any free port`)
    case 'EACCES':
      return new StartError(
        `PORT is ${port}, which this user may not open; allowed: a port from 1024 up, or more rights`
      )
    case 'EADDRNOTAVAIL':
    case 'EAFNOSUPPORT':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
    case 'EINVAL':
      return new StartError(`HOST is ${JSON.stringify(host)}; allowed: an address of this machine, or \`::\` for all`)
    default:
      return error
  }
}

/** On macOS the port is rarely taken by what a developer started. */
function airPlay(port: number): string {
  const hint = ' (on macOS the AirPlay Receiver does, until it is turned off in System Settings, AirDrop & Handoff)'
  return process.platform === 'darwin' && port === 5000 ? hint : ''
}

function code(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}
