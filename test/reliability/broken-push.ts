import { request } from 'node:http'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { digestOf, seededBuffer, seededBytes, sha256 } from './bytes.ts'
import { expect, locationOf, open, send } from './http.ts'

/** A push of the first bytes of a seed's stream that goes on over several connections, and maybe several servers. */
export interface BrokenPush {
  seed: number
  /** Bytes. */
  size: number
  /** The repository's URL, at whichever server is spoken to. */
  repository: string
  session: URL
}

export async function beginPush(repository: string, seed: number, size: number): Promise<BrokenPush> {
  const uploads = `${repository}/blobs/uploads/`
  const session = locationOf(await expect(202, uploads, { method: 'POST' }), uploads)
  return { seed, size, repository, session }
}

/** Announces all that is missing, sends the bytes up to `at`, and breaks off by `interrupt` and the loss of the socket. */
export async function breakOff(
  push: BrokenPush,
  from: number,
  at: number,
  interrupt: () => Promise<void>
): Promise<void> {
  const sending = request(push.session, { method: 'PATCH', headers: chunkHeaders(push, from), agent: false })
  // A connection that ends early is what this is for; whether the server coped is seen when the push goes on.
  sending.on('error', () => undefined)
  await pipeline(seededBytes(push.seed, from, at), sending, { end: false }).catch(() => undefined)
  await interrupt()
  sending.destroy()
}

/** Goes on with the push at another server. */
export function moveTo(push: BrokenPush, repository: string): void {
  push.session = new URL(push.session.pathname + push.session.search, repository)
  push.repository = repository
}

/** How many bytes the registry says that it has; the spec's Range can't tell one byte from none. */
export async function offsetOf(push: BrokenPush): Promise<number> {
  const answer = await expect(204, push.session)
  push.session = locationOf(answer, push.session)
  const last = /^0-(\d+)$/.exec(answer.headers.range ?? '')?.[1]
  if (last === undefined) throw new Error(`the Range of the session is ${answer.headers.range}`)
  return last === '0' ? 0 : Number(last) + 1
}

/** Sends the rest, closes the push and reads it back. The server may still be busy with what the break left: 416. */
export async function finishPush(push: BrokenPush): Promise<void> {
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
  const pulled = await sha256(await open(`${push.repository}/blobs/${digest}`))
  if (pulled.digest !== digest) throw new Error(`GET gave ${pulled.size} bytes with the digest ${pulled.digest}`)
}

function chunkHeaders({ size }: BrokenPush, from: number) {
  return {
    'content-type': 'application/octet-stream',
    'content-length': size - from,
    'content-range': `${from}-${size - 1}`
  }
}
