/** `small-disk.ts`: a disk that is too small for what comes. What does not fit is refused, and all else goes on. */
import { execFile } from 'node:child_process'
import { closeSync, openSync, writeFileSync, writeSync } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { digestOf } from '../reliability/bytes.ts'
import { expect, locationOf, send } from '../reliability/http.ts'
import { withScratch } from '../reliability/scratch.ts'
import { startServer } from '../reliability/server-process.ts'
import { IMAGE, imageOf, json } from '../support/images.ts'

const run = promisify(execFile)
const MIB = 1024 * 1024
/** No multiple of any buffer, so that no piece ends where a buffer does. */
const PIECE = 100_003
const WITHIN_MS = 10_000
const FULL = Buffer.alloc(10_000, 'full')
const program = join(import.meta.dirname, '../../dist/src/cli.js')

await withScratch(5, async (checks, { folder, log }) => {
  const mount = join(folder, 'disk')
  await mkdir(mount)
  const onDisk = async (options: string, work: (disk: SmallDisk) => Promise<void>): Promise<void> => {
    await run('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', mount])
    try {
      const storage = join(mount, 'registry')
      const server = await startServer({ storage, log, env: { GC_INTERVAL: '0' } })
      await work({ url: server.url, storage, filler: join(mount, 'filler') })
      await server.stop()
    } finally {
      await run('umount', ['--lazy', mount])
    }
  }
  await onDisk('size=48m', async disk => {
    await checks.check('15.0: an upload that fills the disk is refused, and all others are served', () => fill(disk))
    await checks.check('15.5: all can be deleted on a full disk', () => emptied(disk, fillSpace))
  })
  await onDisk('size=48m,nr_inodes=2000', async disk => {
    await checks.check('15.5: all can be deleted on a disk without an inode', () => emptied(disk, fillInodes))
  })
})

interface SmallDisk {
  url: string
  storage: string
  /** Where something may be that takes all room. */
  filler: string
}

function* odd(bytes: number): Generator<Uint8Array> {
  const piece = Buffer.alloc(PIECE, 'x')
  for (let left = bytes; left > 0; left -= piece.length) yield piece.subarray(0, left)
}

async function fill({ url }: SmallDisk): Promise<string> {
  const small = Buffer.from('pulled while the disk is full')
  await pushBlob(url, small)
  let waited = 0
  let over = false
  const others = (async () => {
    while (!over) {
      const begun = performance.now()
      await expect(200, `${url}/livez`)
      await expect(200, `${url}/v2/small/blobs/${digestOf(small)}`)
      waited = Math.max(waited, performance.now() - begun)
      await sleep(20)
    }
  })()
  const begun = await expect(202, `${url}/v2/large/blobs/uploads/`, { method: 'POST' })
  const first = Buffer.alloc(70_001, 'f')
  const acknowledged = await expect(202, locationOf(begun, url), { method: 'PATCH', body: first })
  const session = locationOf(acknowledged, url)
  for (let tries = 0; tries < 3; tries++) {
    const { status } = await send(session, { method: 'PATCH', body: odd(60 * MIB) })
    if (status !== 507) throw new Error(`an upload that does not fit is answered ${status}`)
  }
  over = true
  await others
  if (waited > WITHIN_MS) throw new Error(`others waited ${waited} ms`)

  const state = await expect(204, session)
  if (state.headers.range !== `0-${first.length - 1}`) throw new Error(`the session stands at ${state.headers.range}`)
  // What did not fit was given back, so others have the room, and the session goes on to its end.
  await pushBlob(url, Buffer.alloc(30 * MIB, 'y'))
  const last = Buffer.from('the end')
  const whole = digestOf(Buffer.concat([first, last]))
  await expect(201, locationOf(state, session, { digest: whole }), { method: 'PUT', body: last })
  await expect(200, `${url}/v2/large/blobs/${whole}`)
  return `others waited ${Math.round(waited)} ms at most`
}

/** What a server and the commands can still take away where `fillUp` has left no room. */
async function emptied({ url, storage, filler }: SmallDisk, fillUp: (path: string) => Promise<void>): Promise<string> {
  const blobs = Array.from({ length: 30 }, (_, number) => Buffer.alloc(100_000, `blob ${number} `))
  for (const blob of blobs) await pushBlob(url, blob, 'emptied')
  const [first = '', second = ''] = blobs.map(digestOf)
  const begun = await expect(202, `${url}/v2/emptied/blobs/uploads/`, { method: 'POST' })
  const open = await expect(202, locationOf(begun, url), { method: 'PATCH', body: Buffer.alloc(5000, 'z') })
  const manifest = await pushManifest(url, 'emptied', blobs[2]!)
  await fillUp(filler)
  await mustBeFull(url)

  await expect(202, `${url}/v2/emptied/blobs/${first}`, { method: 'DELETE' })
  await expect(202, `${url}/v2/emptied/blobs/${second}`, { method: 'DELETE' })
  await expect(202, `${url}/v2/emptied/manifests/${manifest}`, { method: 'DELETE' })
  await expect(204, locationOf(open, url), { method: 'DELETE' })
  const env = { ...process.env, STORAGE_PATH: storage }
  const command = (...args: string[]) => run(process.execPath, [program, ...args], { env })
  await command('uploads', 'list')
  await command('gc')
  const { stdout } = await command('repository', 'delete', 'emptied', '--yes')
  if (!/is deleted: 0 manifests, \d+ links/.test(stdout)) throw new Error(stdout)
  await command('gc')
  await rm(filler, { recursive: true })
  await pushBlob(url, blobs[0]!)
  return stdout.trim()
}

async function mustBeFull(url: string): Promise<void> {
  const { status } = await send(`${url}/v2/full/blobs/uploads/?digest=${digestOf(FULL)}`, {
    method: 'POST',
    body: FULL
  })
  if (status !== 507) throw new Error(`a push to a full disk is answered ${status}`)
}

async function fillSpace(path: string): Promise<void> {
  const file = openSync(path, 'w')
  for (let size = 1 << 20; size >= 512; size >>= 1) {
    try {
      for (;;) writeSync(file, Buffer.alloc(size, 'f'))
    } catch {}
  }
  closeSync(file)
}

async function fillInodes(path: string): Promise<void> {
  await mkdir(path)
  try {
    for (let number = 0; ; number++) writeFileSync(join(path, String(number)), '')
  } catch {}
}

async function pushManifest(url: string, name: string, config: Buffer): Promise<string> {
  const bytes = json(imageOf(config, []))
  const digest = digestOf(bytes)
  const headers = { 'content-type': IMAGE }
  await expect(201, `${url}/v2/${name}/manifests/${digest}`, { method: 'PUT', body: bytes, headers })
  return digest
}

async function pushBlob(url: string, bytes: Buffer, name = 'small'): Promise<void> {
  const begun = await expect(202, `${url}/v2/${name}/blobs/uploads/`, { method: 'POST' })
  await expect(201, locationOf(begun, url, { digest: digestOf(bytes) }), { method: 'PUT', body: bytes })
}
