import type { Credentials, Proof } from '../access/caller.ts'
import { RegistryError } from '../registry/errors.ts'

/**
 * Reads an `Authorization` header: `Basic` with a user and a password in UTF-8 (RFC 7617), or `Bearer` with a token
 * (RFC 6750). Undefined: the client gave none; some say so with an empty name and an empty password. Throws `unauthorized`
 * for anything else.
 */
export function parseAuthorization(header: string | undefined): Proof | undefined {
  if (header === undefined) return undefined
  const token = /^bearer +([\w.~+/-]+=*)$/i.exec(header)?.[1]
  return token === undefined ? parseBasic(header) : { token }
}

function parseBasic(header: string): Credentials | undefined {
  const encoded = /^basic +([a-z0-9+/_-]*={0,2})$/i.exec(header)?.[1]
  const text = Buffer.from(encoded ?? '', 'base64').toString()
  // The name ends at the first colon; a password may have more of them.
  const colon = text.indexOf(':')
  if (encoded === undefined || colon === -1) throw new RegistryError('unauthorized')
  if (text === ':') return undefined
  return { user: text.slice(0, colon), password: text.slice(colon + 1) }
}
