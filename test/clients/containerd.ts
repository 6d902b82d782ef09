import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { openSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Client, ClientChecks } from './client.ts'
import { assertSame, everythingInLayout } from './images.ts'

const startSeconds = 20

export const containerd: ClientChecks = async client => {
  const { host, folder, samples, check, run, output, assertPushed } = client
  const socket = join(folder, 'containerd.sock')
  const ctr = (...args: string[]) => run('ctr', ['--address', socket, ...args])
  const hello = `${host}/containerd/samples:hello`
  const multi = `${host}/containerd/samples:multi`
  let stop = async () => undefined as unknown

  await check('starts', async () => {
    stop = await startDaemon(client, socket)
  })
  await check('pushes an image and an index', async () => {
    const archive = join(folder, 'samples.tar')
    await run('tar', ['-C', samples.layout, '-cf', archive, '.'])
    const snapshots = ['--snapshotter', 'native']
    await ctr('images', 'import', '--all-platforms', ...snapshots, '--base-name', `${host}/containerd/samples`, archive)
    await ctr('images', 'push', '--plain-http', hello)
    await assertPushed('containerd/samples', 'hello', samples.hello.digest)
    await ctr('images', 'push', '--plain-http', multi)
    await assertPushed('containerd/samples', 'multi', samples.multi.digest)
  })
  await check('pulls the index with the same bytes', async () => {
    await ctr('images', 'rm', '--sync', hello, multi)
    assert.equal(await ctr('content', 'ls', '--quiet'), '')
    await ctr('images', 'pull', '--plain-http', '--all-platforms', '--snapshotter', 'native', multi)
    const wanted = await everythingInLayout(samples.layout, samples.multi.digest)
    const pulled = new Map<string, Buffer>()
    for (const digest of (await ctr('content', 'ls', '--quiet')).split('\n')) {
      pulled.set(digest, await output('ctr', ['--address', socket, 'content', 'get', digest]))
    }
    assertSame(pulled, wanted)
  })
  await check('runs a container of it', async () => {
    const told = await ctr('run', '--rm', '--net-host', '--snapshotter', 'native', multi, 'hello')
    assert.equal(told, samples.message.trim())
  })
  await stop()
}

/** Starts a containerd of the test's own and waits until it answers; returns how to end it. */
export async function startDaemon({ folder, run }: Client, socket: string): Promise<() => Promise<unknown>> {
  const configuration = join(folder, 'config.toml')
  await writeFile(
    configuration,
    `version = 2
root = "${folder}/root"
state = "${folder}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "${socket}"
[ttrpc]
  address = "${socket}.ttrpc"
`
  )
  const log = openSync(join(folder, 'containerd.log'), 'a')
  const daemon = spawn('containerd', ['--config', configuration], { stdio: ['ignore', log, log] })
  const ended = once(daemon, 'exit')
  const kill = () => daemon.kill('SIGKILL')
  process.once('exit', kill)
  const stop = async () => {
    daemon.kill('SIGTERM')
    await ended
    process.off('exit', kill)
  }
  const answers = async () => {
    for (let tries = startSeconds * 10; tries > 0; tries--) {
      if (await run('ctr', ['--address', socket, '--timeout', '1s', 'version']).catch(() => undefined)) return
      await sleep(100)
    }
    await stop()
    throw new Error(`containerd did not answer within ${startSeconds} s`)
  }
  // A daemon that cannot even be started rejects `ended` at once.
  await Promise.race([answers(), ended.then(() => Promise.reject(new Error('containerd ended')))])
  return stop
}
