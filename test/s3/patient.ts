import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { digestOf } from '../reliability/bytes.ts'
import { type Answer, locationOf, type Sent, send } from '../reliability/http.ts'

const octets = { 'content-type': 'application/octet-stream' }
const pauseMs = 200
const mostTries = 40
/** The registry reads the rest of a body that it refuses if it is no longer than this. */
const restBytes = 64 * 1024

/** What a client met with, in numbers. */
export interface Met {
  /** Answers 503; each had a Retry-After. */
  refusals: number
  /** Downloads that broke off, and bodies that were refused before all of them was sent: that ends a connection. */
  broken: number
  /** Uploads that were begun anew. */
  anew: number
}

export interface PatientOptions {
  /** The server may keep a part of an object, and the client then begins its upload anew (docs/s3.md). Default false. */
  torn?: boolean
}

/** A client that puts up with 503 and with nothing else: it repeats what was refused, and goes on where an upload stands. */
export interface PatientClient {
  readonly met: Met
  /** Sends it until it is not refused any more. Throws unless one of these is the status then. */
  ask(statuses: readonly number[], path: string, sent?: Sent): Promise<Answer>
  /** A blob in chunks of a PATCH each; the last one goes with the closing PUT. */
  pushChunks(repository: string, bytes: Buffer, chunk: number): Promise<void>
  /** A blob in one request. */
  pushByPost(repository: string, bytes: Buffer): Promise<void>
  /** The bytes of a blob or manifest. */
  pull(path: string): Promise<Buffer>
}

export function createPatientClient(url: string, { torn = false }: PatientOptions = {}): PatientClient {
  const met: Met = { refusals: 0, broken: 0, anew: 0 }

  /** Undefined when it was refused. */
  async function tryOnce(statuses: readonly number[], to: URL, sent?: Sent): Promise<Answer | undefined> {
    const answer = await send(to, sent).catch(error => {
      if (!mayBreak(sent)) throw error
      met.broken++
    })
    if (!answer) {
      await sleep(pauseMs)
      return undefined
    }
    if (statuses.includes(answer.status)) return answer
    const range = sent?.headers?.['content-range'] ?? ''
    const what = `${sent?.method ?? 'GET'} ${to.pathname} ${range}: ${answer.status} instead of ${statuses}\n${answer.body}`
    assert.equal(answer.status, 503, what)
    assert.match(answer.headers['retry-after'] ?? '', /^\d+$/, `no Retry-After: ${what}`)
    met.refusals++
    await sleep(pauseMs)
    return undefined
  }

  async function ask(statuses: readonly number[], path: string, sent?: Sent): Promise<Answer> {
    return again(() => tryOnce(statuses, new URL(path, url), sent))
  }

  /** Where a session stands; undefined: it has ended. */
  async function offsetOf(session: URL): Promise<{ at: number; session: URL } | undefined> {
    const answer = await ask([204, 404], session.href)
    if (answer.status === 404) return undefined
    const last = Number(/^0-(\d+)$/.exec(answer.headers.range ?? '')?.[1])
    return { at: last === 0 ? 0 : last + 1, session: locationOf(answer, url) }
  }

  async function pushChunks(repository: string, bytes: Buffer, chunk: number): Promise<void> {
    while (!(await pushOnce(repository, bytes, chunk))) met.anew++
  }

  /** False: it has to be begun anew. */
  async function pushOnce(repository: string, bytes: Buffer, chunk: number): Promise<boolean> {
    let session = locationOf(await ask([202], `/v2/${repository}/blobs/uploads/`, { method: 'POST' }), url)
    let at = 0
    while (bytes.length - at > chunk) {
      const body = bytes.subarray(at, at + chunk)
      const headers = { ...octets, 'content-range': `${at}-${at + body.length - 1}` }
      const answer = await tryOnce([202], session, { method: 'PATCH', headers, body })
      const stands = answer ? { at: at + chunk, session: locationOf(answer, url) } : await offsetOf(session)
      assert.ok(stands, 'the session ended')
      assert.ok(stands.at >= at && stands.at <= at + chunk, `the session stands at ${stands.at}`)
      ;({ at, session } = stands)
    }
    return close(session, bytes, at)
  }

  /** False as above. */
  async function close(begun: URL, bytes: Buffer, from: number): Promise<boolean> {
    let [session, at] = [begun, from]
    const ends = torn ? [201, 404] : [201]
    const { status } = await again(async () => {
      const closing = new URL(session)
      closing.searchParams.set('digest', digestOf(bytes))
      const answer = await tryOnce(ends, closing, { method: 'PUT', headers: octets, body: bytes.subarray(at) })
      if (answer) return answer
      // What is committed already needs nothing more than its end.
      const stands = (await offsetOf(session)) ?? { at: bytes.length, session }
      at = stands.at
      session = stands.session
      return undefined
    })
    return status === 201
  }

  return {
    met,
    ask,
    pushChunks,
    pushByPost: async (repository, body) => {
      const path = `/v2/${repository}/blobs/uploads/?digest=${digestOf(body)}`
      await ask([201], path, { method: 'POST', headers: octets, body })
    },
    pull: path => again(async () => (await tryOnce([200], new URL(path, url)))?.body)
  }
}

/** A download, or an upload of which the registry may not read all. */
const mayBreak = ({ method = 'GET', body }: Sent = {}): boolean =>
  method === 'GET' || (body instanceof Uint8Array && body.length > restBytes)

async function again<T>(work: () => Promise<T | undefined>): Promise<T> {
  for (let tries = 0; tries < mostTries; tries++) {
    const done = await work()
    if (done !== undefined) return done
  }
  throw new Error(`it was refused ${mostTries} times`)
}
