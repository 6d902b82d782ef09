import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { forwardedPrefix } from '../src/http/forwarded.ts'
import { jsonBody } from '../src/http/json.ts'
import { parseRepository } from '../src/registry/names.ts'
import { PageQuery, pageSize, type RouteOptions } from './endpoint.ts'

/** Docker's `_catalog`: the repositories. The OCI spec has no such list; clients ask for it all the same. */
const catalog: FastifyPluginAsyncTypebox<RouteOptions> = async (app, { links, tagsPageMax }) => {
  app.get(
    '/_catalog',
    {
      config: { path: '/v2/_catalog', id: 'catalog', action: 'catalog' },
      schema: {
        querystring: PageQuery,
        tags: ['catalog'],
        summary: 'The repositories that the caller may pull, in byte order'
      }
    },
    async (request, reply) => {
      const n = pageSize(request.query, tagsPageMax)
      const last = request.query.last ? parseRepository(request.query.last) : undefined
      const page = await app.registry.repositories.list({ n, last, visible: request.readable() })
      if (page.more && n > 0) {
        const query = { n, last: page.items.at(-1)! }
        reply.header('Link', links.next('/_catalog', query, forwardedPrefix(request)))
      }
      return jsonBody(reply, { repositories: page.items })
    }
  )
}

export default catalog
