import { once } from 'node:events'
import { Agent, createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import { Agent as SecureAgent, request as secureRequest } from 'node:https'
import type { AddressInfo } from 'node:net'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'

/**
 * What befalls a request on its way to S3:
 *
 * - `busy`, `unconditional`: it is refused with 503 SlowDown or with 501
 * - `reset`: the connection breaks before S3 hears of it
 * - `torn`: the connection breaks in the middle of its body
 * - `lost`: S3 does it, and the connection breaks before the answer
 * - `cut`: the connection breaks in the middle of the answer's body, before the answer where it has none
 * - `bodiless`: the connection breaks after the answer's head; as `cut` where it has no body
 * - `stall`: it is swallowed, and the connection stays open
 * - `stuck`: the answer stops in the middle of its body, and the connection stays open; as `stall` where it has none
 * - `slow`: S3 hears of it two seconds later
 */
export type Trouble =
  | 'busy'
  | 'unconditional'
  | 'reset'
  | 'torn'
  | 'lost'
  | 'cut'
  | 'bodiless'
  | 'stall'
  | 'stuck'
  | 'slow'

/** A request that the proxy answers itself, with an error as S3 writes it. */
export interface Refusal {
  status: number
  code: string
}

export interface S3Proxy {
  readonly url: string
  close(): void
}

const slowMs = 2000
/** Where a body breaks that does not say how long it is. */
const someBytes = 100

/** A proxy on loopback before an S3 server. `trouble` is asked about each request as it comes. */
export async function startProxy(
  endpoint: string,
  trouble: (asked: IncomingMessage) => Trouble | Refusal | undefined
): Promise<S3Proxy> {
  const passOn = passOnTo(endpoint)
  const server = createServer((asked, answer) => {
    meet(passOn, asked, answer, trouble(asked)).catch(() => answer.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () => {
      server.closeAllConnections()
      server.close()
    }
  }
}

/** Sends a request on, signed as it is, and resolves with the answer's head. `limit` breaks it off after so many bytes. */
type PassOn = (asked: IncomingMessage, limit?: number) => Promise<IncomingMessage>

function passOnTo(endpoint: string): PassOn {
  const { hostname, port, protocol } = new URL(endpoint)
  const secure = protocol === 'https:'
  const agent = secure
    ? new SecureAgent({ keepAlive: true, rejectUnauthorized: false })
    : new Agent({ keepAlive: true })
  return async (asked, limit) => {
    const { method, url: path, headers } = asked
    const passed = (secure ? secureRequest : request)({ hostname, port, method, path, headers, setHost: false, agent })
    const answered = once(passed, 'response') as Promise<[IncomingMessage]>
    answered.catch(() => undefined) // told by the pipeline
    if (limit === undefined) await pipeline(asked, passed)
    else {
      for await (const chunk of upTo(limit, asked)) await new Promise(flushed => passed.write(chunk, flushed))
      passed.destroy()
    }
    return (await answered)[0]
  }
}

async function meet(
  passOn: PassOn,
  asked: IncomingMessage,
  answer: ServerResponse,
  trouble: Trouble | Refusal | undefined
): Promise<void> {
  if (typeof trouble === 'object') return refuse(asked, answer, trouble.status, trouble.code)
  if (trouble === 'busy') return refuse(asked, answer, 503, 'SlowDown')
  if (trouble === 'unconditional') return refuse(asked, answer, 501, 'NotImplemented')
  if (trouble === 'reset') return void asked.socket.resetAndDestroy()
  if (trouble === 'stall') return void asked.resume()
  if (trouble === 'torn') {
    await passOn(asked, halfOf(asked)).catch(() => undefined)
    return void asked.socket.resetAndDestroy()
  }
  if (trouble === 'slow') await sleep(slowMs)
  const given = await passOn(asked)
  const hasBody = asked.method !== 'HEAD' && given.headers['content-length'] !== '0'
  if (trouble === 'lost' || ((trouble === 'cut' || trouble === 'bodiless') && !hasBody)) {
    given.resume()
    return void asked.socket.resetAndDestroy()
  }
  if (trouble === 'stuck' && !hasBody) return void given.resume()
  answer.writeHead(given.statusCode!, given.rawHeaders)
  if (trouble === 'bodiless') {
    answer.flushHeaders()
    given.destroy()
    return answer.socket?.destroySoon()
  }
  if (trouble !== 'cut' && trouble !== 'stuck') return pipeline(given, answer)
  for await (const chunk of upTo(halfOf(given), given)) answer.write(chunk)
  if (trouble === 'cut') answer.socket?.destroySoon()
}

function refuse(asked: IncomingMessage, answer: ServerResponse, status: number, code: string): void {
  asked.resume()
  const date = new Date().toUTCString()
  answer.writeHead(status, { 'content-type': 'application/xml', date }).end(`<Error><Code>${code}</Code></Error>`)
}

const halfOf = ({ headers }: IncomingMessage): number => Math.floor(Number(headers['content-length'] ?? someBytes) / 2)

/** The first bytes of a body; the rest is let go of. */
async function* upTo(limit: number, body: IncomingMessage): AsyncGenerator<Buffer> {
  let left = limit
  for await (const chunk of body.iterator({ destroyOnReturn: false })) {
    yield (chunk as Buffer).subarray(0, left)
    left -= (chunk as Buffer).length
    if (left <= 0) break
  }
  body.resume()
}
