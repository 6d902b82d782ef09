import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** A program that runs beside the tests, and ends with them at the latest. */
export interface Program {
  readonly pid: number
  /** The most memory that the process held so far, in bytes (Linux only). */
  peakMemory(): Promise<number>
  /** Ends it as an operator does, and waits for the end. */
  stop(): Promise<void>
  /** Ends it as a power cut does: it gets no time for anything. */
  kill(): Promise<void>
}

export interface ProgramOptions {
  program: string
  args: readonly string[]
  /** Its whole environment, but for the few variables that every program needs. */
  env?: Record<string, string>
  /** File that its output is added to. */
  log: string
  /** Whether it can be used by now; asked until it is. */
  ready(): Promise<boolean>
}

const startSeconds = 30

const running = new Map<ChildProcess, Promise<unknown>>()
process.once('exit', killPrograms)
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))

/**
 * Starts a program and waits until it is ready.
 * Throws when it is not installed, ends, or is not ready in time: the message holds the end of its log.
 */
export async function startProgram({ program, args, env = {}, log, ready }: ProgramOptions): Promise<Program> {
  const output = openSync(log, 'a')
  const child = spawn(program, args, { env: environment(env), stdio: ['ignore', output, output] })
  closeSync(output)
  await once(child, 'spawn')
  const ended = once(child, 'exit').finally(() => running.delete(child))
  running.set(child, ended)
  const end = async (signal: NodeJS.Signals) => {
    child.kill(signal)
    await ended
  }
  await waitFor(ready, program, child).catch(async (error: unknown) => {
    await end('SIGKILL')
    throw new Error(`${error instanceof Error ? error.message : error}\n${await tail(log)}`)
  })
  return {
    pid: child.pid!,
    peakMemory: () => peakMemory(child.pid),
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL')
  }
}

/** Kills every program that still runs, and waits for the end of all. */
export async function killPrograms(): Promise<void> {
  for (const child of running.keys()) child.kill('SIGKILL')
  await Promise.all(running.values())
}

/** A port of loopback that nobody listens on. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
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

/** What the shell that runs the tests has set for programs of its own must not change what is tested. */
export function environment(settings: Record<string, string>): NodeJS.ProcessEnv {
  const own = ['PATH', 'HOME', 'LANG', 'TMPDIR', 'NODE_OPTIONS']
  return { ...Object.fromEntries(own.map(name => [name, process.env[name]])), ...settings }
}

async function waitFor(ready: () => Promise<boolean>, program: string, child: ChildProcess): Promise<void> {
  const deadline = Date.now() + startSeconds * 1000
  while (Date.now() < deadline) {
    if (child.exitCode !== null) throw new Error(`${program} ended with status ${child.exitCode}`)
    if (await ready().catch(() => false)) return
    await sleep(50)
  }
  throw new Error(`${program} was not ready within ${startSeconds} s`)
}

async function peakMemory(pid: number | undefined): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  const kibibytes = /^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]
  if (kibibytes === undefined) throw new Error('The system does not tell the peak memory of a process')
  return Number(kibibytes) * 1024
}
