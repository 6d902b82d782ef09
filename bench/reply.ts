/** The end of an answer is found, its bytes are counted, nothing of its body is kept: a client that costs little. */
export interface ReplyReader {
  /** Takes what arrived; true once the answer is whole. */
  take(bytes: Buffer): boolean
  readonly status: number
  /** Status line and header fields, as they came. */
  readonly head: string
  /** Bytes of the body so far. */
  readonly bodyBytes: number
}

interface BodyReader {
  take(bytes: Buffer): boolean
  readonly bytes: number
}

const headEnd = Buffer.from('\r\n\r\n')

/**
 * Reads one HTTP/1.1 answer on a connection that stays open.
 *
 * @param method of the request: after HEAD no body comes, whatever Content-Length says (RFC 9112, 6.3)
 */
export function createReplyReader(method: string): ReplyReader {
  let head = ''
  let pending: Buffer | undefined
  let body: BodyReader | undefined
  return {
    take: bytes => {
      if (body) return body.take(bytes)
      // The caller uses its buffer again, so what is left over is copied; in nearly every answer nothing is.
      const received = pending ? Buffer.concat([pending, bytes]) : bytes
      const end = received.indexOf(headEnd)
      if (end < 0) {
        pending = Buffer.from(received)
        return false
      }
      head = received.toString('latin1', 0, end)
      body = bodyReader(method, head)
      return body.take(received.subarray(end + headEnd.length))
    },
    get status() {
      return Number(head.slice(9, 12))
    },
    get head() {
      return head
    },
    get bodyBytes() {
      return body?.bytes ?? 0
    }
  }
}

function bodyReader(method: string, head: string): BodyReader {
  const bodyless = method === 'HEAD' || head.startsWith('204', 9) || head.startsWith('304', 9)
  if (bodyless) return sizedBody(0)
  if (/^transfer-encoding: *chunked/im.test(head)) return chunkedBody()
  const length = /^content-length: *(\d+)/im.exec(head)?.[1]
  if (length === undefined) throw new Error(`An answer without a length:\n${head}`)
  return sizedBody(Number(length))
}

function sizedBody(size: number): BodyReader {
  let bytes = 0
  return {
    take: ({ length }) => (bytes += length) >= size,
    get bytes() {
      return bytes
    }
  }
}

/** RFC 9112, 7.1. */
function chunkedBody(): BodyReader {
  let bytes = 0
  let line = ''
  let toSkip = 0
  let last = false
  const take = (received: Buffer): boolean => {
    for (let at = 0; at < received.length; ) {
      if (toSkip > 0) {
        const step = Math.min(toSkip, received.length - at)
        toSkip -= step
        at += step
        continue
      }
      const end = received.indexOf(10, at)
      line += received.toString('latin1', at, end < 0 ? received.length : end + 1)
      if (end < 0) return false
      at = end + 1
      if (last && line === '\r\n') return true
      if (!last) {
        const size = Number.parseInt(line, 16)
        bytes += size
        if (size === 0) last = true
        else toSkip = size + 2
      }
      line = ''
    }
    return false
  }
  return {
    take,
    get bytes() {
      return bytes
    }
  }
}
