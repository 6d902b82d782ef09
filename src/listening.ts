import { resolve } from 'node:path'
import type { FastifyInstance } from 'fastify'
import { type Config, defaults } from './config.ts'
import { version } from './version.ts'

/** The server can't start, for a reason its operator can mend; the message is one line for them. */
export class StartError extends Error {
  override readonly name = 'StartError'
}

/** Listens as configured; the first line of the log says where, and where the content is. */
export async function listen(app: Pick<FastifyInstance, 'listen'>, config: Config): Promise<void> {
  const place = placeOf(config)
  const told = (url: string) => `listening at ${url}, content in ${place}, version ${version}`
  await listenAt({ name: 'HOST', host: config.host }, 'PORT', config.port, host =>
    app.listen({ port: config.port, host, listenTextResolver: told })
  )
}

/** Listens on METRICS_PORT. Returns the line for the log that says where. */
export async function listenForMonitors(
  monitor: FastifyInstance,
  { metricsPort: port = 0, metricsHost, host }: Config
): Promise<string> {
  const at = { name: metricsHost === undefined ? 'HOST' : 'METRICS_HOST', host: metricsHost ?? host }
  const url = await listenAt(at, 'METRICS_PORT', port, host => monitor.listen({ port, host }))
  return `metrics at ${url}/metrics`
}

/** Listens on an address of the configuration. Throws StartError where that can't be, in words about the variable. */
async function listenAt(
  { name, host }: { name: string; host: string },
  variable: string,
  port: number,
  listen: (host: string) => Promise<string>
): Promise<string> {
  try {
    // For this name Fastify opens a second server that it closes without waiting for its requests.
    return await listen(host === 'localhost' ? '127.0.0.1' : host).catch(error => {
      const ipv6Off = ['EAFNOSUPPORT', 'EADDRNOTAVAIL'].includes(code(error))
      if (!ipv6Off || host !== defaults.host) throw error
      return listen('0.0.0.0')
    })
  } catch (error) {
    throw startError(error, variable, port, { name, host })
  }
}

function placeOf({ s3, storagePath }: Config): string {
  if (!s3) return resolve(storagePath)
  const { bucket, prefix, endpoint, region } = s3
  return `bucket ${bucket}${prefix ? `, below ${prefix},` : ''} at ${endpoint ?? `AWS in ${region}`}`
}

function startError(
  error: unknown,
  variable: string,
  port: number,
  { name, host }: { name: string; host: string }
): unknown {
  switch (code(error)) {
    case 'EADDRINUSE':
      return new StartError(
        `${variable} is ${port}, where another program listens${airPlay(port)}; allowed: any free port`,
        { cause: error }
      )
    case 'EACCES':
      return new StartError(
        `${variable} is ${port}, which this user may not open; allowed: a port from 1024 up, or more rights`,
        { cause: error }
      )
    case 'EADDRNOTAVAIL':
    case 'EAFNOSUPPORT':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
    case 'EINVAL':
      return new StartError(
        `${name} is ${JSON.stringify(host)}; allowed: an address of this machine, or \`::\` for all`,
        {
          cause: error
        }
      )
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
