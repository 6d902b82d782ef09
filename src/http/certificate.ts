import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'

const users = new WeakMap<Socket, string>()

/**
 * The user whose certificate a connection was opened with: its common name. Undefined where there was none, or none that
 * one of the trusted issuers signed and that is valid now.
 */
export function certificateUser(socket: Socket): string | undefined {
  if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined
  const known = users.get(socket)
  if (known !== undefined) return known
  // An array where there are several: then none of them is the user's.
  const name: unknown = socket.getPeerCertificate().subject?.CN
  if (typeof name !== 'string' || name === '') return undefined
  users.set(socket, name)
  return name
}
