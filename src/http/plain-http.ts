import type { Server } from 'node:https'
import type { Socket } from 'node:net'

/**
 * Finds connections to a TLS server whose client speaks plain HTTP. Node ends such a connection without a word, and its
 * client can't guess why.
 *
 * @param ms how long a connection may send nothing
 * @param answer answers, and ends, a connection on which a request in plain HTTP begins
 */
export function catchPlainHttp(server: Server, ms: number, answer: (socket: Socket) => void): void {
  const greet = server.listeners('connection') as ((this: Server, socket: Socket) => void)[]
  server.removeAllListeners('connection')
  server.on('connection', (socket: Socket) => {
    const end = (): void => void socket.destroy()
    socket.once('error', end)
    socket.setTimeout(ms, end)
    socket.once('readable', () => {
      socket.removeListener('error', end)
      socket.setTimeout(0, end)
      socket.removeListener('timeout', end)
      const first: Buffer | null = socket.read()
      if (first === null) return end()
      if (isUpperCase(first[0])) return answer(socket)
      // The TLS socket that is made of this one reads these bytes first.
      socket.unshift(first)
      for (const listener of greet) listener.call(server, socket)
    })
  })
}

/** A request begins with its method; a TLS handshake begins with 22. */
const isUpperCase = (byte = 0): boolean => byte >= 0x41 && byte <= 0x5a
