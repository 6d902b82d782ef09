import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'

const users = new WeakMap<Socket, CertifiedUser>()

export interface CertifiedUser {
  user: string
  /** When the certificate ends, in ms since 1970. */
  ends: number
}

/**
 * The user whose certificate a connection was opened with: its common name. Undefined where there was none, or none that
 * one of the trusted issuers signed and that is valid now: a connection may outlive its certificate.
 *
 * @param now ms since 1970
 */
export function certificateUser(socket: Socket, now: number): CertifiedUser | undefined {
  if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined
  const known = users.get(socket) ?? userOf(socket)
  if (!known || known.ends <= now) return undefined
  users.set(socket, known)
  return known
}

function userOf(socket: TLSSocket): CertifiedUser | undefined {
  const { subject, valid_to } = socket.getPeerCertificate()
  // An array where there are several: then none of them is the user's.
  const user: unknown = subject?.CN
  return typeof user === 'string' && user !== '' ? { user, ends: Date.parse(valid_to) } : undefined
}
