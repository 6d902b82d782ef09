import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { cli, top } from './program.ts'

/** A run of the command line. `out` and `err` are what it has written so far. */
export interface Run {
  out: string
  err: string
  pid: number
  kill(signal: NodeJS.Signals): void
  exited: Promise<number | null>
}

/** Runs the command line as a user would: in a process of its own, with no more environment than is given. */
export function run(t: Test, env: NodeJS.ProcessEnv, ...args: string[]): Run {
  const [program, ...first] = cli
  const child = spawn(program, [...first, ...args], {
    cwd: top,
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  t.teardown(() => child.kill('SIGKILL'))
  const exited = once(child, 'close').then(([code]) => code as number | null)
  const running: Run = { out: '', err: '', pid: child.pid!, exited, kill: signal => child.kill(signal) }
  child.stdout.setEncoding('utf8').on('data', text => {
    running.out += text
  })
  child.stderr.setEncoding('utf8').on('data', text => {
    running.err += text
  })
  return running
}

export function folder(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'marina-server-'))
  t.teardown(() => rmSync(path, { recursive: true, force: true }))
  return path
}

export async function until<T>(
  what: string,
  look: () => T | undefined | false | Promise<T | undefined | false>
): Promise<T> {
  for (let tries = 0; tries < 1500; tries++) {
    const seen = await look()
    if (seen) return seen
    await sleep(20)
  }
  throw new Error(`never seen: ${what}`)
}

/** Starts a registry on a free port and waits for its first line. */
export async function start(t: Test, env: NodeJS.ProcessEnv = {}): Promise<Run & { port: number; path: string }> {
  const path = folder(t)
  const running = run(t, { PORT: '0', HOST: '127.0.0.1', STORAGE_PATH: path, ...env })
  const ended = running.exited.then(() => Promise.reject(new Error(`it ended instead: ${running.err}`)))
  const listening = until('its first line', () => /"listening at http:\/\/[^"]*:(\d+),/.exec(running.out)?.[1])
  const port = await Promise.race([listening, ended])
  return Object.assign(running, { port: Number(port), path })
}

export async function refuses(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  const refused = await new Promise<boolean>(done => {
    socket.on('connect', () => done(false)).on('error', () => done(true))
  })
  socket.destroy()
  return refused
}
