/** `resume.ts N`: N pushes broken at random bytes, and taken up again where the registry says that it stands. */
import { randomInt } from 'node:crypto'
import { request } from 'node:http'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { digestOf, seededBuffer, seededBytes, sha256 } from './bytes.ts'
import { expect, locationOf, open, send } from './http.ts'
import { withScratch } from './scratch.ts'
import { startServer } from './server-process.ts'

const rounds = Number(process.argv[2] ?? 10)
const mebibyte = 1 << 20

/** A push that goes on over several connections. */
interface Push {
  seed: number
  size: number
  session: URL
}

await withScratch(5 + rounds / 5, async (checks, scratch) => {
  let server = await startServer(scratch)
  let sent = 0
  let kept = 0
  for (let round = 1; round <= rounds; round++) {
    const killing = round % 2 === 0
    await checks.check(`push ${round} survives ${killing ? 'a killed server' : 'broken connections'}`, async () => {
      const push: Push = { seed: round, size: randomInt(8 * mebibyte, 40 * mebibyte), session: await begin(server.url) }
      const places: string[] = []
      let from = 0
      for (let breaks = randomInt(1, 4); breaks > 0 && from < push.size - 1; breaks--) {
        const at = randomInt(from + 1, push.size)
        await breakOff(push, from, at, killing ? server.kill : () => sleep(0))
        if (killing) server = await startServer({ ...scratch, port: server.port })
        else await sleep(100)
        const offset = await offsetOf(push)
        if (offset < from || offset > at) throw new Error(`of ${at} bytes sent, ${offset} are said to be there`)
        if (!killing) {
          sent += at - from
          kept += offset - from
        }
        from = offset
        places.push(`${offset} of ${at}`)
      }
      await finish(push, server.url)
      return `${push.size} bytes, kept ${places.join(', ')}`
    })
  }
  // Of what a killed server had not yet read nobody knows how much there was, so those rounds don't count.
  await checks.check('most of what was sent before the connections broke is not sent again', async () => {
    if (kept < sent / 2) throw new Error(`${kept} of ${sent} bytes were kept`)
    return `${kept} of ${sent} bytes were kept`
  })
  await server.stop()
})

async function begin(url: string): Promise<URL> {
  return locationOf(await expect(202, `${url}/v2/resumed/blobs/uploads/`, { method: 'POST' }), url)
}

/** Announces all that is missing, sends the bytes up to `at`, and breaks off by `interrupt` and the loss of the socket. */
async function breakOff(push: Push, from: number, at: number, interrupt: () => Promise<void>): Promise<void> {
  const sending = request(push.session, { method: 'PATCH', headers: chunkHeaders(push, from), agent: false })
  // A connection that ends early is what this is for; whether the server coped is seen when the push goes on.
  sending.on('error', () => undefined)
  await pipeline(seededBytes(push.seed, from, at), sending, { end: false }).catch(() => undefined)
  await interrupt()
  sending.destroy()
}

function chunkHeaders({ size }: Push, from: number) {
  return {
    'content-type': 'application/octet-stream',
    'content-length': size - from,
    'content-range': `${from}-${size - 1}`
  }
}

/** How many bytes the registry says that it has; the spec's Range can't tell one byte from none. */
async function offsetOf(push: Push): Promise<number> {
  const answer = await expect(204, push.session)
  push.session = locationOf(answer, push.session)
  const last = /^0-(\d+)$/.exec(answer.headers.range ?? '')?.[1]
  if (last === undefined) throw new Error(`the Range of the session is ${answer.headers.range}`)
  return last === '0' ? 0 : Number(last) + 1
}

/** Sends the rest, closes the push and reads it back. The server may still be busy with what the break left: 416. */
async function finish(push: Push, url: string): Promise<void> {
  for (let tries = 1; ; tries++) {
    const from = await offsetOf(push)
    const body = seededBytes(push.seed, from, push.size)
    const answer = await send(push.session, { method: 'PATCH', headers: chunkHeaders(push, from), body })
    if (answer.status === 202) break
    if (answer.status !== 416 || tries === 10) throw new Error(`PATCH from ${from}: ${answer.status}\n${answer.body}`)
    await sleep(100)
  }
  const digest = digestOf(seededBuffer(push.seed, push.size))
  const closing = new URL(push.session)
  closing.searchParams.set('digest', digest)
  await expect(201, closing, { method: 'PUT' })
  const pulled = await sha256(await open(`${url}/v2/resumed/blobs/${digest}`))
  if (pulled.digest !== digest) throw new Error(`GET gave ${pulled.size} bytes with the digest ${pulled.digest}`)
}
