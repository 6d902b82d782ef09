import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { get } from 'node:https'
import { join } from 'node:path'
import { freePort, type Program, startProgram } from './program.ts'

export { tail } from './program.ts'

/** The registry as its users run it: the built program in a process of its own. */
export interface ServerProcess extends Program {
  readonly url: string
  readonly port: number
}

export interface ServerOptions {
  /** Folder of the stored registry, or the variables that say where else it is. */
  storage: string | Record<string, string>
  /** File that the server's log is added to. */
  log: string
  /** Default: a free one. */
  port?: number
  /** More of its environment. */
  env?: Record<string, string>
  /** The issuer of its certificate; default: it speaks plain HTTP. */
  ca?: Buffer
}

const program = join(import.meta.dirname, '../../dist/src/cli.js')

/**
 * Starts the server on loopback and waits until it answers. It has as many processes as the test's own `WORKERS` says.
 * Throws when it has not been built, or ends, or does not answer in time: the message holds the end of its log.
 */
export async function startServer({ storage, log, port, env = {}, ca }: ServerOptions): Promise<ServerProcess> {
  if (!existsSync(program)) throw new Error('The server is not built: run `npm run build` first')
  const listening = port ?? (await freePort())
  const url = `${ca ? 'https' : 'http'}://127.0.0.1:${listening}`
  const { WORKERS } = process.env
  const kept = typeof storage === 'string' ? { STORAGE_PATH: storage } : storage
  const running = await startProgram({
    program: process.execPath,
    args: [program],
    env: {
      HOST: '127.0.0.1',
      PORT: String(listening),
      LOG_LEVEL: 'warn',
      LOG_FORMAT: 'json',
      ...(WORKERS && { WORKERS }),
      ...kept,
      ...env
    },
    log,
    ready: async () => [200, 401].includes(await statusOf(`${url}/v2/`, ca))
  })
  return { ...running, url, port: listening }
}

async function statusOf(url: string, ca?: Buffer): Promise<number> {
  if (!ca) return (await fetch(url)).status
  const [answer] = await once(get(url, { ca, agent: false }), 'response')
  answer.resume()
  return answer.statusCode
}
