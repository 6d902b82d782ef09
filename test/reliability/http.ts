import { Agent, type IncomingHttpHeaders, type IncomingMessage, type OutgoingHttpHeaders, request } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'

export interface Sent {
  method?: string
  headers?: OutgoingHttpHeaders
  /** Chunks go out with chunked encoding unless a Content-Length is among the headers. */
  body?: Uint8Array | Iterable<Uint8Array>
}

export interface Answer {
  status: number
  headers: IncomingHttpHeaders
  body: Buffer
}

const agent = new Agent({ keepAlive: true })

/** One request; resolves with the answer's head, its body still to be read. Rejects when the connection breaks. */
export function open(url: string | URL, { method = 'GET', headers = {}, body }: Sent = {}): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const sending = request(url, { method, headers, agent }, resolve)
    sending.once('error', reject)
    if (body === undefined || body instanceof Uint8Array) sending.end(body)
    else pipeline(body, sending).catch(reject)
  })
}

/** One request and its whole answer, whatever its status. Rejects when the connection breaks. */
export async function send(url: string | URL, sent: Sent = {}): Promise<Answer> {
  const answer = await open(url, sent)
  return { status: answer.statusCode ?? 0, headers: answer.headers, body: await buffer(answer) }
}

/** As `send`; throws what was answered when it is not the status wanted. */
export async function expect(status: number, url: string | URL, sent: Sent = {}): Promise<Answer> {
  const answer = await send(url, sent)
  if (answer.status === status) return answer
  const { pathname } = new URL(url)
  throw new Error(`${sent.method ?? 'GET'} ${pathname}: ${answer.status} instead of ${status}\n${answer.body}`)
}

/** Where the answer's Location leads (it may be relative to the request), with query parameters added. */
export function locationOf(answer: Answer, base: string | URL, query: Record<string, string> = {}): URL {
  const { location } = answer.headers
  if (location === undefined) throw new Error('The answer has no Location')
  const url = new URL(location, base)
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value)
  return url
}
