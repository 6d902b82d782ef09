import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import { forwardedPrefix } from '../src/http/forwarded.ts'
import { parseDigest } from '../src/registry/digest.ts'
import { OCI_INDEX } from '../src/registry/media-types.ts'
import { parseRepository } from '../src/registry/names.ts'
import { DigestParam, endpoint, Name, type RouteOptions } from './endpoint.ts'

const HEAD = Buffer.from(`{"schemaVersion":2,"mediaType":"${OCI_INDEX}","manifests":[`)
const COMMA = Buffer.from(',')
const TAIL = Buffer.from(']}')

/** spec end-12: which manifests have this one as their subject. An unknown repository has none: never a 404. */
const referrers: FastifyPluginAsyncTypebox<RouteOptions> = async (app, { links }) => {
  app.route({
    method: 'GET',
    ...endpoint('referrers', 'end-12a, end-12b', 'pull'),
    schema: {
      params: Type.Object({ name: Name, digest: DigestParam }),
      querystring: Type.Object({
        artifactType: Type.Optional(Type.String({ description: 'Only referrers of this type' })),
        last: Type.Optional(Type.String({ description: 'Referrers after this one, as the Link of a page says' }))
      }),
      tags: ['referrers'],
      summary: 'The manifests that refer to a subject'
    },
    async handler(request, reply) {
      const name = parseRepository(request.params.name)
      const subject = parseDigest(request.params.digest)
      const { artifactType: asked, last } = request.query
      // No media type has a space in it: a client has left the `+` of `application/spdx+json` as it is.
      const artifactType = asked?.replaceAll(' ', '+')
      const page = await app.registry.referrers.list(name, subject, { artifactType, after: last })
      if (artifactType !== undefined) reply.header('OCI-Filters-Applied', 'artifactType')
      if (page.next) {
        const query = { artifactType, last: page.next }
        reply.header('Link', links.next(`/${name}/referrers/${subject}`, query, forwardedPrefix(request)))
      }
      const descriptors = page.descriptors.flatMap((descriptor, index) => (index ? [COMMA, descriptor] : [descriptor]))
      reply.type(OCI_INDEX)
      return Buffer.concat([HEAD, ...descriptors, TAIL])
    }
  })
}

export default referrers
