import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** What a wait for a body ends with when nothing came for too long. */
export class BodyIdle extends Error {
  override readonly name = 'BodyIdle'
}

/** Requests whose next bytes somebody waits for, with what ends the wait. */
const awaited = new WeakMap<IncomingMessage, (error: BodyIdle) => void>()

/**
 * Waits for more of a request's body.
 *
 * @param next resolves with it
 * @throws BodyIdle when the client sends nothing for as long as `limitIdle` says
 */
export async function awaitBody<T>(request: IncomingMessage, next: () => Promise<T>): Promise<T> {
  try {
    return await new Promise<T>((resolve, reject) => {
      awaited.set(request, reject)
      next().then(resolve, reject)
    })
  } finally {
    awaited.delete(request)
  }
}

/**
 * Ends what stands still because of its client: a body of which no byte comes, an answer of which no byte is taken, a
 * connection that is not used. How slowly something goes doesn't count, nor how long the server itself takes.
 *
 * @param ms how long nothing may happen
 */
export function limitIdle(server: Server, ms: number): void {
  const served = new WeakMap<Socket, IncomingMessage>()
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    const { socket } = request
    served.set(socket, request)
    response.once('close', () => {
      if (served.get(socket) === request) served.delete(socket)
    })
  })
  server.setTimeout(ms, socket => {
    const request = served.get(socket)
    const stop = request && awaited.get(request)
    if (stop) stop(new BodyIdle(`no byte of the body came for ${ms / 1000} s`))
    else if (!request || socket.writableLength > 0) socket.destroy()
    else socket.setTimeout(ms)
  })
}
