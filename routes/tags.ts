import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import { forwardedPrefix } from '../src/http/forwarded.ts'
import { jsonBody } from '../src/http/json.ts'
import { parseRepository, parseTag } from '../src/registry/names.ts'
import { endpoint, Name, PageQuery, pageSize, type RouteOptions } from './endpoint.ts'

/** spec end-8: the tags of a repository. */
const tags: FastifyPluginAsyncTypebox<RouteOptions> = async (app, { links, tagsPageMax }) => {
  app.route({
    method: 'GET',
    ...endpoint('tags', 'end-8a, end-8b', 'pull'),
    schema: {
      params: Type.Object({ name: Name }),
      querystring: PageQuery,
      tags: ['tags'],
      summary: 'The tags of a repository, in byte order'
    },
    async handler(request, reply) {
      const name = parseRepository(request.params.name)
      const n = pageSize(request.query, tagsPageMax)
      const last = request.query.last ? parseTag(request.query.last) : undefined
      const page = await app.registry.tags.list(name, { n, ...(last && { last }) })
      if (page.more && n > 0) {
        const query = { n, last: page.items.at(-1)! }
        reply.header('Link', links.next(`/${name}/tags/list`, query, forwardedPrefix(request)))
      }
      return jsonBody(reply, { name, tags: page.items })
    }
  })
}

export default tags
