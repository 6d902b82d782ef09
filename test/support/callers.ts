import { hashPassword } from '../../src/access/passwords.ts'
import { type Client, createClient, type Send } from './client.ts'
import { keepSecret } from './secrets.ts'

/** The header of a user and a password. */
export function basic(user: string, password: string): { authorization: string } {
  const encoded = Buffer.from(`${user}:${password}`).toString('base64')
  keepSecret(password, encoded)
  return { authorization: `Basic ${encoded}` }
}

/** A client that sends these headers with every request. */
export function withHeaders(send: Send, headers: Record<string, string>): Client {
  return createClient((method, path, sending = {}) =>
    send(method, path, { ...sending, headers: { ...headers, ...sending.headers } })
  )
}

/** A password file in which each user's password is `<user>-password`. */
export async function htpasswdOf(...users: string[]): Promise<string> {
  const lines = users.map(async user => `${user}:${await hashPassword(passwordOf(user), 4)}\n`)
  return (await Promise.all(lines)).join('')
}

export const passwordOf = (user: string): string => `${user}-password`

/** A client of this user; undefined: it says nothing of who it is. */
export const clientOf = (send: Send, user: string | undefined): Client =>
  withHeaders(send, user === undefined ? {} : basic(user, passwordOf(user)))
