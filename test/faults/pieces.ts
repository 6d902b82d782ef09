/**
 * `pieces.ts ROUNDS [SEED]`: uploads in pieces of every size, while one write in three fails. Each ends with an answer,
 * others are answered meanwhile, and what was refused can be sent again or gone on with.
 */
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { watchOthers } from '../fuzz/others.ts'
import { openWire, type WireAnswer } from '../fuzz/wire.ts'
import { withScratch } from '../reliability/scratch.ts'
import { startServer } from '../reliability/server-process.ts'
import { createClient } from '../support/client.ts'
import { digestOf, random } from '../support/images.ts'
import type { DiskFault } from './faulty-disk.ts'
import { overWire } from './wire.ts'

const rounds = Number(process.argv[2] ?? 40)
const seed = Number(process.argv[3] ?? Math.floor(Math.random() * 2 ** 31))
/** Uploads at the same time. */
const WIDTH = 4
/** How long a server may be silent, in ms, on a machine that has more to do. */
const SILENCE_MS = 15_000
const WRITES = ['writev']
const CALLS = ['writev', 'writeFile', 'write', 'datasync', 'open', 'rename', 'link']

/** Mostly small and odd, now and then longer than any buffer. */
const piece = fc.oneof(
  fc.integer({ min: 1, max: 50 }),
  fc.integer({ min: 1, max: 70_000 }),
  fc.integer({ min: 65_536, max: 400_000 })
)
const upload = fc.array(piece, { minLength: 1, maxLength: 60, size: 'max' })

await withScratch(6, async (checks, { folder, storage, log }) => {
  const control = join(folder, 'fault.json')
  const preloaded = join(import.meta.dirname, 'faulty-disk.ts')
  const env = {
    NODE_OPTIONS: `--import tsx --import ${preloaded}`,
    FAULTY_DISK: control,
    GC_INTERVAL: '0',
    BUFFER_MEMORY: '8MiB'
  }
  const server = await startServer({ storage, log, env })
  const client = createClient(overWire(() => server.url))
  const uploads = fc.sample(upload, { seed, numRuns: rounds * WIDTH })
  console.log(`seed ${seed}`)

  const faults: Record<string, number> = { ENOSPC: 507, EIO: 500 }
  for (const [errno, status] of Object.entries(faults)) {
    await checks.check(`pieces of every size, while one write in three fails with ${errno}`, async () => {
      const beside = watchOthers(server.url)
      let refused = 0
      for (let round = 0; round < rounds; round++) {
        const some = uploads.slice(round * WIDTH, (round + 1) * WIDTH)
        const begun = await Promise.all(some.map(async pieces => ({ pieces, session: await client.begin('pieces') })))
        const fault: DiskFault = { calls: round % 2 === 0 ? WRITES : CALLS, oneIn: 3, errno }
        await writeFile(control, JSON.stringify(fault))
        const sent = await Promise.all(begun.map(({ pieces, session }) => sendPieces(server.port, session, pieces)))
        await rm(control, { force: true })
        for (const { answer } of sent) {
          if (answer.status !== 202 && answer.status !== status) throw new Error(`${answer.status}\n${answer.body}`)
          if (answer.status === status) refused += 1
        }
        await Promise.all(sent.map(one => finish(one)))
      }
      if (refused === 0) throw new Error('nothing was refused')
      return `${refused} of ${rounds * WIDTH} uploads refused; ${await beside.end()}`
    })
  }
  await server.stop()

  /** Goes on where the session stands, and pulls what was pushed. */
  async function finish({ session, bytes }: Sent): Promise<void> {
    const state = await client.get(session)
    const at = Number(/^0-(\d+)$/.exec(state.headers.range ?? '')?.[1] ?? 0) + 1
    // An empty upload has the same Range as one of a byte: it is begun anew, as one that is gone.
    const resumes = state.status === 204 && at > 1
    const url = resumes ? (state.headers.location ?? session) : await client.begin('pieces')
    const digest = digestOf(bytes)
    const closed = await client.close(url, digest, { body: resumes ? bytes.subarray(at) : bytes })
    if (closed.status !== 201) throw new Error(`${closed.status} at byte ${at} of ${bytes.length}\n${closed.body}`)
    const pulled = await client.get(`/v2/pieces/blobs/${digest}`)
    if (pulled.status !== 200 || !pulled.body.equals(bytes)) throw new Error(`pulled as ${pulled.status}`)
  }
})

interface Sent {
  session: string
  bytes: Buffer
  answer: WireAnswer
}

/** Sends a chunked PATCH whose chunks have these sizes. Throws where no answer comes. */
async function sendPieces(port: number, session: string, sizes: readonly number[]): Promise<Sent> {
  const pieces = sizes.map(size => random(size))
  const { pathname, search } = new URL(session, 'http://h')
  const wire = openWire(port)
  wire.send(Buffer.from(`PATCH ${pathname}${search} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n`))
  for (const piece of pieces) {
    wire.send(Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n')]))
    // So that the pieces arrive as such.
    await new Promise(resolve => setImmediate(resolve))
  }
  wire.send(Buffer.from('0\r\n\r\n'))
  const { answers } = await wire.answers({ answers: 1, silenceMs: SILENCE_MS })
  wire.end()
  const [answer] = answers
  if (answer === undefined) throw new Error(`no answer to pieces of ${sizes.join(', ')}`)
  return { session, bytes: Buffer.concat(pieces), answer }
}
