export const BASIC_CHALLENGE = 'Basic realm="registry", charset="UTF-8"'

export interface BearerChallenge {
  /** The URL that tokens are to be had at. */
  realm: string
  service: string
  /** What the token has to grant, as `repository:team/app:pull`; none: to be known is enough. */
  scopes: readonly string[]
  /** What was wrong with the token that was sent, if one was. */
  error: string | undefined
}

/** A `WWW-Authenticate` of the Docker token protocol (RFC 6750 section 3). Clients look for no spaces between its parts. */
export function bearerChallenge({ realm, service, scopes, error }: BearerChallenge): string {
  const parts = [`realm="${realm}"`, `service="${service}"`]
  if (scopes.length > 0) parts.push(`scope="${scopes.join(' ')}"`)
  if (error !== undefined) parts.push(`error="${error}"`)
  return `Bearer ${parts.join(',')}`
}
