import type { FastifyReply, FastifyRequest } from 'fastify'
import { eventOf, subjectOf } from './audit.ts'

/** Something that has happened to the content of a registry. */
export interface RegistryEvent {
  event: keyof typeof STATUSES
  repository: string
  /** Not there when a tag was deleted. */
  digest?: string | undefined
  /** The tags that a push has set, the one deleted, or the one that a pull named. */
  tags?: string[] | undefined
  /** The source of a mount. */
  from?: string | undefined
  /** Who, where that is known. */
  user?: string | undefined
}

/** The statuses that say that it has happened. A GET may be answered with a part, or with where else the bytes are. */
const STATUSES = {
  'manifest.push': [201],
  'manifest.pull': [200],
  'manifest.delete': [202],
  'tag.delete': [202],
  'blob.push': [201],
  'blob.mount': [201],
  'blob.pull': [200, 206, 307],
  'blob.delete': [202]
} as const

/** What a request that its handler has done has made happen; undefined: nothing that is told, as a step of an upload. */
export function registryEventOf(request: FastifyRequest, reply: FastifyReply): RegistryEvent | undefined {
  const { oci } = request.routeOptions.config
  if (!oci || request.method === 'HEAD') return undefined
  const event = eventOf(oci.endpoint, request)
  if (!isTold(event)) return undefined
  const statuses: readonly number[] = STATUSES[event]
  if (!statuses.includes(reply.statusCode)) return undefined
  const { repository = '', digest, tags, from } = subjectOf(event, request, reply)
  const user = request.caller?.user
  return {
    event,
    repository,
    ...(digest && { digest }),
    ...(tags && { tags }),
    ...(from && { from }),
    ...(user && { user })
  }
}

function isTold(event: string): event is keyof typeof STATUSES {
  return Object.hasOwn(STATUSES, event)
}
