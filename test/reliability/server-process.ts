import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, openSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** The registry as its users run it: the built program in a process of its own. */
export interface ServerProcess {
  readonly url: string
  readonly port: number
  /** The most memory that the process held so far, in bytes (Linux only). */
  peakMemory(): Promise<number>
  /** Ends it as an operator does, and waits for the end. */
  stop(): Promise<void>
  /** Ends it as a power cut does: it gets no time for anything. */
  kill(): Promise<void>
}

export interface ServerOptions {
  /** Folder of the stored registry. */
  storage: string
  /** File that the server's log is added to. */
  log: string
  /** Default: a free one. */
  port?: number
}

const program = join(import.meta.dirname, '../../dist/src/cli.js')
const startSeconds = 20

const running = new Map<ChildProcess, Promise<unknown>>()
process.once('exit', killServers)
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))

/**
 * Starts the server on loopback and waits until it answers.
 * Throws when it has not been built, or ends, or does not answer in time: the message holds the end of its log.
 */
export async function startServer({ storage, log, port }: ServerOptions): Promise<ServerProcess> {
  if (!existsSync(program)) throw new Error('The server is not built: run `npm run build` first')
  const listening = port ?? (await freePort())
  const output = openSync(log, 'a')
  const child = spawn(process.execPath, [program], {
    env: serverEnvironment({ PORT: String(listening), STORAGE_PATH: storage }),
    stdio: ['ignore', output, output]
  })
  closeSync(output)
  const ended = once(child, 'exit').finally(() => running.delete(child))
  running.set(child, ended)
  const end = async (signal: NodeJS.Signals) => {
    child.kill(signal)
    await ended
  }
  const url = `http://127.0.0.1:${listening}`
  await answers(url, child).catch(async (error: unknown) => {
    await end('SIGKILL')
    throw new Error(`${error instanceof Error ? error.message : error}\n${await tail(log)}`)
  })
  return {
    url,
    port: listening,
    peakMemory: () => peakMemory(child.pid),
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL')
  }
}

/** Kills every server that still runs, and waits for the end of all. */
export async function killServers(): Promise<void> {
  for (const child of running.keys()) child.kill('SIGKILL')
  await Promise.all(running.values())
}

/** The last lines of a log, each cut to what can be read; '' when there is none. */
export async function tail(log: string, lines = 15): Promise<string> {
  const text = await readFile(log, 'utf8').catch(() => '')
  return text
    .trimEnd()
    .split('\n')
    .slice(-lines)
    .map(line => line.slice(0, 400))
    .join('\n')
}

/** What the shell that runs the tests has set for some registry of its own must not change what is tested. */
function serverEnvironment(settings: Record<string, string>): NodeJS.ProcessEnv {
  const own = ['PATH', 'HOME', 'LANG', 'TMPDIR', 'NODE_OPTIONS']
  const inherited = Object.fromEntries(own.map(name => [name, process.env[name]]))
  return { ...inherited, HOST: '127.0.0.1', LOG_LEVEL: 'warn', LOG_FORMAT: 'json', ...settings }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

async function answers(url: string, child: ChildProcess): Promise<void> {
  const deadline = Date.now() + startSeconds * 1000
  while (Date.now() < deadline) {
    if (child.exitCode !== null) throw new Error(`The server ended with status ${child.exitCode}`)
    const status = await fetch(`${url}/v2/`).then(
      answer => answer.status,
      () => undefined
    )
    if (status === 200) return
    await sleep(50)
  }
  throw new Error(`The server did not answer within ${startSeconds} s`)
}

async function peakMemory(pid: number | undefined): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  const kibibytes = /^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]
  if (kibibytes === undefined) throw new Error('The system does not tell the peak memory of a process')
  return Number(kibibytes) * 1024
}
