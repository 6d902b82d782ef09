import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { jsonBody } from '../src/http/json.ts'

/** spec end-1: whether this is a registry. Under its prefix Fastify serves the path without the last slash as well. */
const base: FastifyPluginAsyncTypebox = async app => {
  app.get(
    '/',
    {
      config: { path: '/v2/', id: 'end-1', action: 'login' },
      schema: { tags: ['base'], summary: 'Whether this is a registry of this API' }
    },
    async (_request, reply) => jsonBody(reply, {})
  )
}

export default base
