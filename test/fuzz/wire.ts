import { connect } from 'node:net'

/** One answer as it came over the wire. */
export interface WireAnswer {
  status: number
  /** Names in lower case, in the order they came. */
  headers: [name: string, value: string][]
  body: Buffer
}

export interface Exchange {
  answers: WireAnswer[]
  closed: boolean
}

/** Thrown for bytes that are no HTTP answer. */
export class MalformedAnswer extends Error {
  override readonly name = 'MalformedAnswer'
}

export const headerOf = ({ headers }: WireAnswer, name: string): string | undefined =>
  headers.find(([given]) => given === name)?.[1]

/** What ends the wait for answers: bytes may be no request, and then there is silence. */
export interface Patience {
  /** So many answers, without interim ones, are enough. */
  answers: number
  /** ms without a byte from the server. */
  silenceMs: number
}

/**
 * Opens a connection on which bytes are sent as they are.
 *
 * @param bodiless tells of the answer with that index that it has no body whatever its head says (to HEAD)
 */
export function openWire(port: number, bodiless: (index: number) => boolean = () => false) {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  let received = Buffer.alloc(0)
  let closed = false
  let wake = (): void => {}
  socket.on('data', chunk => {
    received = Buffer.concat([received, chunk])
    wake()
  })
  for (const event of ['end', 'close', 'error'] as const) {
    socket.on(event, () => {
      closed = true
      wake()
    })
  }
  const quiet = (ms: number): Promise<boolean> =>
    new Promise(resolve => {
      const timer = setTimeout(resolve, ms, true)
      wake = () => {
        clearTimeout(timer)
        resolve(false)
      }
    })

  return {
    send: (bytes: Uint8Array): void => void socket.write(bytes),
    /** Waits as long as is said and returns all answers so far. Throws `MalformedAnswer`. */
    async answers({ answers: wanted, silenceMs }: Patience): Promise<Exchange> {
      for (;;) {
        const answers = parseAnswers(received, bodiless, closed)
        if (closed || answers.length >= wanted || (await quiet(silenceMs))) return { answers, closed }
      }
    },
    end: (): void => void socket.destroy()
  }
}

/** Reads answers one after another (RFC 9112), leaving out interim ones; one that is not whole yet must be well formed so far. */
function parseAnswers(received: Buffer, bodiless: (index: number) => boolean, closed: boolean): WireAnswer[] {
  const answers: WireAnswer[] = []
  for (let at = 0; at < received.length; ) {
    const end = received.indexOf('\r\n\r\n', at)
    if (end === -1) {
      if (closed) throw new MalformedAnswer(`cut off in a head: ${received.subarray(at, at + 200)}`)
      return answers
    }
    const { status, headers } = parseHead(received.toString('latin1', at, end))
    at = end + 4
    if (status < 200) continue
    const length = bodyLength(status, headers, bodiless(answers.length))
    // Of a body that was announced whole, less may come where the server had to break off.
    if (received.length - at < length && !closed) return answers
    answers.push({ status, headers, body: received.subarray(at, at + length) })
    at += length
  }
  return answers
}

function parseHead(head: string): Pick<WireAnswer, 'status' | 'headers'> {
  const [first = '', ...lines] = head.split('\r\n')
  const status = /^HTTP\/1\.1 ([1-5]\d\d) [ -~]*$/.exec(first)?.[1]
  if (status === undefined) throw new MalformedAnswer(`no status line: ${JSON.stringify(first.slice(0, 200))}`)
  const headers = lines.map((line): [string, string] => {
    const [, name, value] = /^([!#$%&'*+.^_`|~\w-]+): ?([ -~\x80-\xff\t]*)$/.exec(line) ?? []
    if (name === undefined) throw new MalformedAnswer(`no header: ${JSON.stringify(line.slice(0, 200))}`)
    return [name.toLowerCase(), value ?? '']
  })
  return { status: Number(status), headers }
}

function bodyLength(status: number, headers: WireAnswer['headers'], bodiless: boolean): number {
  const lengths = headers.filter(([name]) => name === 'content-length')
  if (lengths.length > 1) throw new MalformedAnswer('two Content-Lengths')
  if (bodiless || status === 204 || status === 304) return 0
  const [length] = lengths
  if (length === undefined) throw new MalformedAnswer(`${status} without Content-Length: ${JSON.stringify(headers)}`)
  if (!/^\d+$/.test(length[1])) throw new MalformedAnswer(`Content-Length ${length[1]}`)
  return Number(length[1])
}
