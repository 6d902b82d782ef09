/** `small-disk.ts`: a disk that is too small for what comes. What does not fit is refused, and all else goes on. */
import { execFile } from 'node:child_process'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { digestOf } from '../reliability/bytes.ts'
import { expect, locationOf, send } from '../reliability/http.ts'
import { withScratch } from '../reliability/scratch.ts'
import { type ServerProcess, startServer } from '../reliability/server-process.ts'

const run = promisify(execFile)
const MIB = 1024 * 1024
/** No multiple of any buffer, so that no piece ends where a buffer does. */
const PIECE = 100_003
const WITHIN_MS = 10_000

await withScratch(5, async (checks, { folder, log }) => {
  const mount = join(folder, 'disk')
  await mkdir(mount)
  await run('mount', ['-t', 'tmpfs', '-o', 'size=48m', 'tmpfs', mount])
  try {
    const server = await startServer({ storage: join(mount, 'registry'), log, env: { GC_INTERVAL: '0' } })
    await checks.check('15.0: an upload that fills the disk is refused, and all others are served', () => fill(server))
    await server.stop()
  } finally {
    await run('umount', ['--lazy', mount])
  }
})

function* odd(bytes: number): Generator<Uint8Array> {
  const piece = Buffer.alloc(PIECE, 'x')
  for (let left = bytes; left > 0; left -= piece.length) yield piece.subarray(0, left)
}

async function fill({ url }: ServerProcess): Promise<string> {
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
  const stored = Number(/^0-(\d+)$/.exec(state.headers.range ?? '')?.[1]) + 1
  if (!(stored >= first.length)) throw new Error(`the session lost what was acknowledged: ${state.headers.range}`)
  return `others waited ${Math.round(waited)} ms at most, ${stored} bytes kept`
}

async function pushBlob(url: string, bytes: Buffer): Promise<void> {
  const begun = await expect(202, `${url}/v2/small/blobs/uploads/`, { method: 'POST' })
  await expect(201, locationOf(begun, url, { digest: digestOf(bytes) }), { method: 'PUT', body: bytes })
}
