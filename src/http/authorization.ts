import type { Credentials } from '../access/caller.ts'
import { RegistryError } from '../registry/errors.ts'

/**
 * Reads the user and password of an `Authorization: Basic` header, in UTF-8 (RFC 7617). Undefined: the client gave none;
 * some say so with an empty name and an empty password. Throws `unauthorized` for anything else.
 */
export function parseBasic(header: string | undefined): Credentials | undefined {
  if (header === undefined) return undefined
  const encoded = /^basic +([a-z0-9+/_-]*={0,2})$/i.exec(header)?.[1]
  const text = Buffer.from(encoded ?? '', 'base64').toString()
  // The name ends at the first colon; a password may have more of them.
  const colon = text.indexOf(':')
  if (encoded === undefined || colon === -1) throw new RegistryError('unauthorized')
  if (text === ':') return undefined
  return { user: text.slice(0, colon), password: text.slice(colon + 1) }
}
