import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { bodyOf } from '../src/http/body.ts'
import { bodyLength } from '../src/http/body-length.ts'
import { parseChunkRange } from '../src/http/content-range.ts'
import { forwardedPrefix } from '../src/http/forwarded.ts'
import { digestBytes, parseAlgorithm, parseDigest } from '../src/registry/digest.ts'
import { parseRepository } from '../src/registry/names.ts'
import type { Chunk, UploadStatus } from '../src/registry/uploads.ts'
import { DigestParam, endpoint, Name, type RouteOptions } from './endpoint.ts'

const params = Type.Object({ name: Name, session: Type.String({ description: 'From the Location of an answer' }) })
const EMPTY = { sha256: digestBytes(Buffer.alloc(0)), sha512: digestBytes(Buffer.alloc(0), 'sha512') }

/** spec end-4, 5, 6, 11, 13, 14: pushing a blob, in one request or in many. */
const uploads: FastifyPluginAsyncTypebox<RouteOptions> = async (app, { links }) => {
  const { registry } = app

  const created = (request: FastifyRequest, reply: FastifyReply, name: string, digest: string): void => {
    const location = links.blob(name, digest, forwardedPrefix(request))
    reply.code(201).headers({ Location: location, 'Docker-Content-Digest': digest })
  }

  /** For a 416, after which the session lives on (spec, "Pushing a blob in chunks"). */
  const goOnAt = (request: FastifyRequest, reply: FastifyReply, name: string, session: string) =>
    reply.header('Location', links.upload(name, session, forwardedPrefix(request)))

  const open = (request: FastifyRequest, reply: FastifyReply, name: string, { session, size }: UploadStatus) =>
    reply.headers({
      Location: links.upload(name, session, forwardedPrefix(request)),
      // `0-0` for nothing as for one byte: the grammar knows no empty range, and docker can't read `0--1`.
      Range: `0-${Math.max(size - 1, 0)}`,
      // The last part of the Location: clients take one for the other.
      'Docker-Upload-UUID': session
    })

  app.route({
    method: 'POST',
    ...endpoint('uploads', 'end-4a, end-4b, end-4c, end-11', 'push'),
    schema: {
      params: Type.Object({ name: Name }),
      querystring: Type.Object({
        digest: Type.Optional(DigestParam),
        'digest-algorithm': Type.Optional(Type.String({ description: '`sha256` or `sha512`' })),
        mount: Type.Optional(DigestParam),
        from: Type.Optional(Name)
      }),
      tags: ['uploads'],
      summary: 'Begin an upload, push a blob in one request, or mount one from another repository'
    },
    async handler(request, reply) {
      const name = parseRepository(request.params.name)
      const { digest, mount, from, 'digest-algorithm': algorithm } = request.query
      if (mount) {
        const wanted = parseDigest(mount)
        const source = from ? parseRepository(from) : undefined
        if (await registry.blobs.mount(name, wanted, source, request.readable()))
          return created(request, reply, name, wanted)
      } else if (digest) {
        const pushed = parseDigest(digest)
        // Without a body this is a client that goes on with a PUT, unless the blob is empty.
        if (bodyLength(request) !== 0 || Object.values(EMPTY).includes(pushed)) {
          await registry.uploads.single(name, pushed, chunkOf(request))
          return created(request, reply, name, pushed)
        }
      }
      const session = await registry.uploads.start(
        name,
        algorithm ? parseAlgorithm(algorithm) : undefined,
        ownerOf(request)
      )
      open(request, reply, name, { session, size: 0 }).code(202)
    }
  })

  app.route({
    method: 'GET',
    ...endpoint('upload', 'end-13', 'push'),
    schema: { params, tags: ['uploads'], summary: 'How far an upload is' },
    async handler(request, reply) {
      const name = parseRepository(request.params.name)
      const status = await registry.uploads.status(name, request.params.session, ownerOf(request))
      open(request, reply, name, status).code(204)
    }
  })

  app.route({
    method: 'PATCH',
    ...endpoint('upload', 'end-5', 'push'),
    schema: { params, tags: ['uploads'], summary: 'Add a chunk to an upload' },
    async handler(request, reply) {
      const name = parseRepository(request.params.name)
      goOnAt(request, reply, name, request.params.session)
      const status = await registry.uploads.append(name, request.params.session, chunkOf(request), ownerOf(request))
      open(request, reply, name, status).code(202)
    }
  })

  app.route({
    method: 'PUT',
    ...endpoint('upload', 'end-6', 'push'),
    schema: {
      params,
      querystring: Type.Object({ digest: Type.Optional(DigestParam) }),
      tags: ['uploads'],
      summary: 'Close an upload, with a last chunk or without'
    },
    async handler(request, reply) {
      const name = parseRepository(request.params.name)
      const digest = parseDigest(request.query.digest ?? '')
      goOnAt(request, reply, name, request.params.session)
      await registry.uploads.finish(name, request.params.session, digest, chunkOf(request), ownerOf(request))
      return created(request, reply, name, digest)
    }
  })

  app.route({
    method: 'DELETE',
    ...endpoint('upload', 'end-14', 'push'),
    schema: { params, tags: ['uploads'], summary: 'Cancel an upload' },
    async handler(request, reply) {
      await registry.uploads.cancel(parseRepository(request.params.name), request.params.session, ownerOf(request))
      reply.code(204)
    }
  })
}

/** An upload is its beginner's alone, whoever learns its URL. */
const ownerOf = ({ caller }: FastifyRequest): string | undefined => caller?.user

function chunkOf(request: FastifyRequest): Chunk {
  const range = request.headers['content-range']
  return {
    source: bodyOf(request),
    length: bodyLength(request),
    range: range === undefined ? undefined : parseChunkRange(range)
  }
}

export default uploads
