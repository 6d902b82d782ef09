import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import type { FastifyReply } from 'fastify'
import type { Credentials } from '../src/access/caller.ts'
import type { IssuedToken } from '../src/access/token-issuer.ts'
import { readBody } from '../src/http/body.ts'
import { jsonBody } from '../src/http/json.ts'
import { RegistryError } from '../src/registry/errors.ts'

/** Longest form, in bytes: a password and some scopes. */
const FORM_MAX = 64 * 1024

const CONFIG = { path: '/v2/token', id: 'token', action: 'open', logsIn: true } as const

const TAGS = ['base']

/** The Docker token protocol: a password is sent here once, and tokens from then on. */
const token: FastifyPluginAsyncTypebox = async app => {
  const issue = app.issueToken!

  app.route({
    method: 'GET',
    url: '/token',
    exposeHeadRoute: false,
    config: CONFIG,
    schema: {
      querystring: Type.Object({
        scope: Type.Optional(Type.Array(Type.String(), { description: 'As `repository:team/app:pull,push`' })),
        service: Type.Optional(Type.String()),
        account: Type.Optional(Type.String()),
        offline_token: Type.Optional(
          Type.String({ description: '`true`: with a refresh token, to be kept in place of the password' })
        )
      }),
      tags: TAGS,
      summary: 'A token for who sends a password, or for anybody where something is open to all'
    },
    async handler(request, reply) {
      const { scope: scopes = [], offline_token } = request.query
      return answer(reply, await issue(request, reply, { scopes, offline: offline_token === 'true' }))
    }
  })

  app.route({
    method: 'POST',
    url: '/token',
    config: CONFIG,
    schema: {
      tags: TAGS,
      summary:
        'The same for OAuth2 clients: a form with grant_type=password or refresh_token (RFC 6749 sections 4.3, 6)'
    },
    async handler(request, reply) {
      const form = new URLSearchParams((await readBody(request, FORM_MAX)).toString())
      const offline = form.get('access_type') === 'offline'
      return answer(reply, await issue(request, reply, { scopes: form.getAll('scope'), offline, proof: proofIn(form) }))
    }
  })
}

export default token

function proofIn(form: URLSearchParams): Credentials | { refreshToken: string } {
  const given = (name: string): string => {
    const value = form.get(name)
    if (value === null) throw malformed(`${name} is needed`)
    return value
  }
  switch (form.get('grant_type')) {
    case 'password':
      return { user: given('username'), password: given('password') }
    case 'refresh_token':
      return { refreshToken: given('refresh_token') }
    default:
      throw malformed('grant_type is none of password and refresh_token')
  }
}

const malformed = (message: string): RegistryError => new RegistryError('request-invalid', {}, { message })

/** Clients of either protocol read their own name of the token. */
function answer(reply: FastifyReply, issued: IssuedToken): Buffer {
  const { token, expiresIn, issuedAt, scope, refreshToken } = issued
  reply.header('Cache-Control', 'no-store')
  const body = { token, access_token: token, expires_in: expiresIn, issued_at: issuedAt.toISOString(), scope }
  const renewed = refreshToken !== undefined && { refresh_token: refreshToken }
  return jsonBody(reply, { ...body, token_type: 'Bearer', ...renewed })
}
