import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { send } from '../test/reliability/http.ts'
import { tail } from '../test/reliability/server-process.ts'
import type { Peer } from './peers.ts'
import { type TreeUse, treeUse } from './process-tree.ts'

/** A server under measurement. */
export interface Server {
  readonly peer: Peer
  readonly url: string
  readonly port: number
  /** Folder of its content. */
  readonly storage: string
  /** From its start to its first answer. */
  readonly startSeconds: number
  use(): Promise<TreeUse>
  /** Ends it and removes its folder. */
  stop(): Promise<void>
}

const startSeconds = 60
const pollMs = 2

const running = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/**
 * Starts a server on a fresh folder and waits for its first answer.
 *
 * @param parent folder that the fresh one is made in
 * @param storage content that is there already, and stays when the server is stopped
 */
export async function startServer(peer: Peer, parent: string, storage?: string): Promise<Server> {
  const folder = await mkdtemp(join(parent, `${peer.name}-`))
  const place = { folder, storage: storage ?? join(folder, 'storage'), port: await freePort() }
  await mkdir(place.storage, { recursive: true })
  const { program, args, env } = await peer.command(place)
  const log = join(folder, 'log')
  const output = openSync(log, 'a')
  const { PATH, HOME } = process.env
  const begun = performance.now()
  const child = spawn(program, args, { env: { PATH, HOME, ...env }, cwd: folder, stdio: ['ignore', output, output] })
  closeSync(output)
  running.add(child)
  const ended = once(child, 'exit').finally(() => running.delete(child))
  const url = `http://127.0.0.1:${place.port}`
  const stop = async () => {
    child.kill('SIGTERM')
    const late = setTimeout(() => child.kill('SIGKILL'), 5000)
    await ended
    clearTimeout(late)
    await rm(folder, { recursive: true, force: true })
  }
  await firstAnswer(url, child).catch(async error => {
    const lines = await tail(log)
    await stop()
    throw new Error(`${peer.title}: ${error instanceof Error ? error.message : error}\n${lines}`)
  })
  const startTook = (performance.now() - begun) / 1000
  const use = () => treeUse(child.pid!)
  return { peer, url, port: place.port, storage: place.storage, startSeconds: startTook, use, stop }
}

async function firstAnswer(url: string, child: ChildProcess): Promise<void> {
  const deadline = performance.now() + startSeconds * 1000
  while (performance.now() < deadline) {
    if (child.exitCode !== null) throw new Error(`It ended with status ${child.exitCode}`)
    const answer = await send(`${url}/v2/`, { headers: { connection: 'close' } }).catch(() => undefined)
    if (answer !== undefined) return
    await sleep(pollMs)
  }
  throw new Error(`It did not answer within ${startSeconds} s`)
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
