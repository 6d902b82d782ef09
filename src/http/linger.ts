import type { Socket } from 'node:net'

/** How long a client may take to read the last answer on a connection that is being closed. */
const LINGER_MS = 1000

/**
 * Closes a connection after what was written to it, in stages (RFC 9112 section 9.6): says that no more comes, keeps
 * what the client still sends from turning into a reset that would cost it the answer, and destroys it after a second.
 */
export function linger(socket: Socket): void {
  socket.end()
  const timer = setTimeout(() => socket.destroy(), LINGER_MS).unref()
  socket.once('close', () => clearTimeout(timer))
}
