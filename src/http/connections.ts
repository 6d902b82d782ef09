import type { Server } from 'node:http'
import type { Socket } from 'node:net'

/** So many connections beyond the limit are accepted, so that their clients are told why they are refused. */
const TOLD = 100

/**
 * Limits how many connections a server has at once. Further ones are open too, up to a hundred, for an answer that
 * refuses what they ask; beyond these Node closes a connection as soon as it opens.
 *
 * @param refused called for each connection beyond the limit
 * @returns whether a request's connection was opened beyond the limit
 */
export function limitConnections(server: Server, most: number, refused: () => void): (socket: Socket) => boolean {
  const beyond = new WeakSet<Socket>()
  let open = 0
  server.maxConnections = most + TOLD
  server.on('connection', (socket: Socket) => {
    open += 1
    socket.once('close', () => {
      open -= 1
    })
    note(socket)
  })
  // Over TLS, requests come over a socket of their own, and it is these that are known to them.
  server.on('secureConnection', note)
  server.on('drop', refused)
  return socket => beyond.has(socket)

  function note(socket: Socket): void {
    if (open <= most) return
    beyond.add(socket)
    refused()
  }
}
