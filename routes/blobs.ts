import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import { sendRanges } from '../src/http/byteranges.ts'
import { notModified, rangeApplies } from '../src/http/conditional.ts'
import { parseRanges } from '../src/http/range.ts'
import { sendChunks } from '../src/http/stream.ts'
import { parseDigest } from '../src/registry/digest.ts'
import { RegistryError } from '../src/registry/errors.ts'
import { parseRepository } from '../src/registry/names.ts'
import { DigestParam, endpoint, Name, type RouteOptions } from './endpoint.ts'

const params = Type.Object({ name: Name, digest: DigestParam })

/** spec end-2, end-10: blobs that a repository holds. */
const blobs: FastifyPluginAsyncTypebox<RouteOptions> = async (app, { deleteEnabled, readOnly }) => {
  const { registry } = app

  app.route({
    method: 'HEAD',
    ...endpoint('blob', 'end-2', 'pull'),
    schema: { params, tags: ['blobs'], summary: 'Whether a repository holds a blob, and its size' },
    async handler(request, reply) {
      const name = parseRepository(request.params.name)
      const digest = parseDigest(request.params.digest)
      const relying = !readOnly && (await request.may('push', name))
      const { size } = await registry.blobs.head(name, digest, { relying })
      describe(reply, digest)
      if (notModified(request.headers['if-none-match'], etag(digest))) return void reply.code(304)
      reply.header('Content-Length', size)
    }
  })

  app.route({
    method: 'GET',
    ...endpoint('blob', 'end-2', 'pull'),
    schema: { params, tags: ['blobs'], summary: 'A blob, or ranges of it' },
    async handler(request, reply) {
      const name = parseRepository(request.params.name)
      const digest = parseDigest(request.params.digest)
      const blob = await registry.blobs.get(name, digest)
      describe(reply, digest)
      if (notModified(request.headers['if-none-match'], etag(digest))) return void reply.code(304)
      const applies = rangeApplies(request.headers['if-range'] as string | undefined, etag(digest))
      const ranges = applies ? parseRanges(request.headers.range, blob.size) : 'whole'
      if (ranges === 'unsatisfiable') throw new RegistryError('range-not-satisfiable', { size: blob.size })
      // Of several ranges S3 would send the whole blob.
      const url = ranges === 'whole' || ranges.length === 1 ? await blob.url() : undefined
      // spec, "API": a registry may redirect. The URL lets in whoever has it, and only for a while: no cache may keep it.
      if (url !== undefined) return reply.header('Cache-Control', 'no-store').redirect(url, 307)
      if (ranges === 'whole') return sendChunks(reply, await blob.read(), blob.size)
      return sendRanges(reply, ranges, blob.size, blob.read)
    }
  })

  app.route({
    method: 'DELETE',
    ...endpoint('blob', 'end-10', 'delete'),
    schema: { params, tags: ['blobs'], summary: 'Take a blob out of a repository' },
    async handler(request, reply) {
      const name = parseRepository(request.params.name)
      const digest = parseDigest(request.params.digest)
      if (!deleteEnabled) throw new RegistryError('delete-disabled', { allow: ['GET', 'HEAD'] })
      await registry.blobs.remove(name, digest)
      reply.code(202).header('Docker-Content-Digest', digest)
    }
  })
}

const etag = (digest: string): string => `"${digest}"`

function describe(reply: { headers(values: Record<string, string>): unknown }, digest: string): void {
  reply.headers({
    'Docker-Content-Digest': digest,
    ETag: etag(digest),
    'Accept-Ranges': 'bytes',
    'Content-Type': 'application/octet-stream'
  })
}

export default blobs
