import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { readBody } from '../src/http/body.ts'
import { notModified } from '../src/http/conditional.ts'
import { forwardedPrefix } from '../src/http/forwarded.ts'
import { RegistryError } from '../src/registry/errors.ts'
import type { StoredManifest } from '../src/registry/manifest-records.ts'
import { parseReference, parseRepository, parseTag, type Reference } from '../src/registry/names.ts'
import { endpoint, Name, type RouteOptions } from './endpoint.ts'

const params = Type.Object({ name: Name, reference: Type.String({ description: 'A tag or a digest' }) })

/** spec end-3, end-7, end-9: manifests, by tag and by digest. */
const manifests: FastifyPluginAsyncTypebox<RouteOptions> = async (app, options) => {
  const { links, deleteEnabled, manifestMaxBytes } = options
  const { registry } = app

  function find(request: FastifyRequest, params: { name: string; reference: string }): Promise<StoredManifest> {
    const name = parseRepository(params.name)
    return registry.manifests.get(name, existing(params.reference), type => request.acceptsManifest(type))
  }

  function describe(request: FastifyRequest, reply: FastifyReply, { digest, mediaType }: StoredManifest): boolean {
    reply.headers({ 'Docker-Content-Digest': digest, ETag: `"${digest}"`, 'Content-Type': mediaType })
    return notModified(request.headers['if-none-match'], `"${digest}"`)
  }

  app.route({
    method: 'HEAD',
    ...endpoint('manifest', 'end-3', 'pull'),
    schema: { params, tags: ['manifests'], summary: 'Whether a manifest is there, its digest and size' },
    async handler(request, reply) {
      const manifest = await find(request, request.params)
      if (describe(request, reply, manifest)) return void reply.code(304)
      reply.header('Content-Length', manifest.bytes.length)
    }
  })

  app.route({
    method: 'GET',
    ...endpoint('manifest', 'end-3', 'pull'),
    schema: { params, tags: ['manifests'], summary: 'A manifest, byte for byte as it was pushed' },
    async handler(request, reply) {
      const manifest = await find(request, request.params)
      if (!describe(request, reply, manifest)) return manifest.bytes
      return void reply.code(304)
    }
  })

  app.route({
    method: 'PUT',
    ...endpoint('manifest', 'end-7a, end-7b', 'push'),
    schema: {
      params,
      querystring: Type.Object({
        tag: Type.Optional(Type.Array(Type.String(), { description: 'More tags for this manifest' }))
      }),
      tags: ['manifests'],
      summary: 'Push a manifest'
    },
    async handler(request, reply) {
      const name = parseRepository(request.params.name)
      const reference = parseReference(request.params.reference)
      const tags = (request.query.tag ?? []).map(parseTag)
      const bytes = await readBody(request, manifestMaxBytes)
      const { digest, subject, warnings } = await registry.manifests.put(name, reference, bytes, request.bodyType, tags)
      if (subject) reply.header('OCI-Subject', subject)
      // spec, "Warnings"
      if (warnings.length > 0) reply.header('Warning', warnings.map(text => `299 - "${text}"`).join(', '))
      if (tags.length > 0) reply.header('OCI-Tag', tags.join(', '))
      reply.headers({
        Location: links.manifest(name, digest, forwardedPrefix(request)),
        'Docker-Content-Digest': digest
      })
      reply.code(201)
    }
  })

  app.route({
    method: 'DELETE',
    ...endpoint('manifest', 'end-9', 'delete'),
    schema: { params, tags: ['manifests'], summary: 'Delete a tag, or a manifest with its tags' },
    async handler(request, reply) {
      const name = parseRepository(request.params.name)
      const reference = existing(request.params.reference)
      if (!deleteEnabled) throw new RegistryError('delete-disabled', { allow: ['GET', 'HEAD', 'PUT'] })
      await registry.manifests.remove(name, reference)
      reply.code(202)
    }
  })
}

/** A reference to something that should be there: what can't be a tag isn't one (spec, "Pulling manifests": 404). */
function existing(reference: string): Reference {
  try {
    return parseReference(reference)
  } catch (error) {
    if (!(error instanceof RegistryError) || error.kind !== 'tag-invalid') throw error
    throw new RegistryError('manifest-unknown', { reference: reference.slice(0, 128) })
  }
}

export default manifests
