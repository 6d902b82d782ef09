import { once } from 'node:events'
import { connect } from 'node:net'
import { createReplyReader, type ReplyReader } from './reply.ts'

export interface Request {
  method: string
  path: string
  /** Field lines, each ended by CRLF. Content-Length is added for a body in memory. */
  fields?: string
  /** Bytes, or pieces that are sent as they are: the fields have to tell their length or encoding. */
  body?: Uint8Array | Iterable<Uint8Array>
}

export interface Reply {
  status: number
  head: string
  bodyBytes: number
}

/** One keep-alive connection with one request at a time, so without pipelining. */
export interface Connection {
  /** Resolves with the whole answer, whatever its status; rejects when the connection breaks. */
  send(request: Request): Promise<Reply>
  close(): void
}

const receiveBytes = 512 * 1024

/** Connects to a server on loopback. With `authorization` every request has that field. */
export async function openConnection(port: number, authorization?: string): Promise<Connection> {
  const login = authorization === undefined ? '' : `Authorization: ${authorization}\r\n`
  let reader: ReplyReader | undefined
  let settle: { resolve(reply: Reply): void; reject(error: Error): void } | undefined
  const fail = (error: Error) => settle?.reject(error)
  // One buffer for all that arrives: what the client spends on memory would be taken from the server.
  const buffer = Buffer.allocUnsafe(receiveBytes)
  const receive = (length: number): boolean => {
    try {
      if (reader?.take(buffer.subarray(0, length))) settle?.resolve(reader)
    } catch (error) {
      fail(error as Error)
    }
    return true
  }
  const socket = connect({ port, host: '127.0.0.1', noDelay: true, onread: { buffer, callback: receive } })
  await once(socket, 'connect')
  socket.on('error', fail)
  socket.on('close', () => fail(new Error('The server closed the connection')))
  const write = async (pieces: Iterable<Uint8Array>) => {
    for (const piece of pieces) if (!socket.write(piece)) await once(socket, 'drain')
  }

  return {
    send: ({ method, path, fields = '', body }) =>
      new Promise((resolve, reject) => {
        reader = createReplyReader(method)
        settle = { resolve, reject }
        const head = `${method} ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n${login}${fields}`
        if (body === undefined) socket.write(`${head}\r\n`, 'latin1')
        else if (body instanceof Uint8Array) {
          socket.cork()
          socket.write(`${head}Content-Length: ${body.length}\r\n\r\n`, 'latin1')
          socket.write(body)
          socket.uncork()
        } else {
          socket.write(`${head}\r\n`, 'latin1')
          write(body).catch(reject)
        }
      }),
    close: () => socket.destroy()
  }
}
