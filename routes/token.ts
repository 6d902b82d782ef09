import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import type { FastifyReply } from 'fastify'
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
        account: Type.Optional(Type.String())
      }),
      tags: TAGS,
      summary: 'A token for who sends a password, or for anybody where something is open to all'
    },
    async handler(request, reply) {
      return answer(reply, await issue(request, reply, request.query.scope ?? []))
    }
  })

  app.route({
    method: 'POST',
    url: '/token',
    config: CONFIG,
    schema: {
      tags: TAGS,
      summary: 'The same for OAuth2 clients: a form with grant_type=password (RFC 6749 section 4.3)'
    },
    async handler(request, reply) {
      const form = new URLSearchParams((await readBody(request, FORM_MAX)).toString())
      if (form.get('grant_type') !== 'password') throw malformed('the only grant_type is password')
      const [user, password] = [form.get('username'), form.get('password')]
      if (user === null || password === null) throw malformed('username and password are needed')
      return answer(reply, await issue(request, reply, form.getAll('scope'), { user, password }))
    }
  })
}

export default token

const malformed = (message: string): RegistryError => new RegistryError('request-invalid', {}, { message })

/** Clients of either protocol read their own name of the token. */
function answer(reply: FastifyReply, { token, expiresIn, issuedAt, scope }: IssuedToken): Buffer {
  reply.header('Cache-Control', 'no-store')
  const body = { token, access_token: token, expires_in: expiresIn, issued_at: issuedAt.toISOString(), scope }
  return jsonBody(reply, { ...body, token_type: 'Bearer' })
}
