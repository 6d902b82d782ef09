import { createServer, type IncomingMessage, type RequestListener } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { type Access, parseScopes } from '../../src/access/scope.ts'
import { parseAuthorization } from '../../src/http/authorization.ts'
import { passwordOf } from '../support/callers.ts'
import type { Certificate } from '../support/certificates.ts'
import { issuers } from '../support/issuers.ts'

/** What an identity provider's own rules let a user do; undefined: somebody who has not logged in. */
export type Rules = (user: string | undefined, repository: string, action: string) => boolean

/**
 * An identity provider on loopback, and the variables for a registry that trusts it: over plain HTTP with tokens as
 * docker_auth's, whose certificate the registry knows; over TLS with tokens as Keycloak's, of which it knows a JWK set.
 *
 * @param host how clients are told to reach it
 * @param certificate of its own; default: it speaks plain HTTP
 */
export async function startProvider(
  folder: string,
  host: '127.0.0.1' | 'localhost',
  allows: Rules,
  certificate?: Certificate
) {
  const scheme = certificate ? 'https' : 'http'
  const make = certificate ? issuers.Keycloak : issuers.docker_auth
  const issuer = make(join(folder, `provider-${scheme}-${host}`), Date.now)
  const answer: RequestListener = async (request, response) => {
    const { user, password, scopes } = await questionOf(request)
    const known = user === undefined || password === passwordOf(user)
    const granted = parseScopes(scopes).map(scope => ({
      ...scope,
      actions: scope.actions.filter(action => allows(user, scope.name, action))
    }))
    response.writeHead(known ? 200 : 401, { 'content-type': 'application/json' })
    const token = known ? await issuer.token(user, granted as Access[]) : undefined
    response.end(JSON.stringify(token ? { token, access_token: token } : { details: 'wrong' }))
  }
  const server = certificate ? createSecureServer(certificate, answer) : createServer(answer)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  server.unref()
  const { issuer: name = '', service, rootCertsFile, jwks } = issuer.settings
  return {
    AUTH_TOKEN_ISSUER: name,
    AUTH_TOKEN_SERVICE: service,
    AUTH_TOKEN_REALM: `${scheme}://${host}:${(server.address() as AddressInfo).port}/token`,
    ...(rootCertsFile !== undefined && { AUTH_TOKEN_ROOTCERTS: rootCertsFile }),
    ...(jwks !== undefined && { AUTH_TOKEN_JWKS: jwks })
  }
}

/** What a client asks, in either form of the protocol. */
async function questionOf(request: IncomingMessage) {
  const query =
    request.method === 'POST'
      ? new URLSearchParams(await text(request))
      : new URL(request.url!, 'http://provider').searchParams
  const proof = parseAuthorization(request.headers.authorization)
  const basic = proof && 'user' in proof ? proof : undefined
  return {
    user: basic?.user ?? query.get('username') ?? undefined,
    password: basic?.password ?? query.get('password') ?? undefined,
    scopes: query.getAll('scope')
  }
}
