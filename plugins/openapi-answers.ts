import { type TSchema, Type } from '@sinclair/typebox'

/** One answer in the way that `@fastify/swagger` takes it. */
interface Answer {
  description: string
  headers?: Record<string, TSchema>
  content?: Record<string, { schema: TSchema }>
  /** Without it the description would have a body. */
  type?: 'null'
}

const text = (description: string): TSchema => Type.String({ description })
const Location = text('Where the request that follows goes, relative to the host unless `EXTERNAL_URL` is set')
const Digest = Type.String({
  pattern: '^sha(256:[0-9a-f]{64}|512:[0-9a-f]{128})$',
  description: 'Digest of the content'
})
const Range = Type.String({ pattern: '^0-[0-9]+$', description: 'The bytes that have arrived; `0-0` also for none' })
const described = { 'docker-content-digest': Digest, etag: text('The digest in quotes') }
const session = { location: Location, range: Range, 'docker-upload-uuid': text('Names the session') }

const bare = (description: string, headers: Record<string, TSchema> = {}): Answer => ({
  description,
  headers,
  type: 'null'
})
const json = (
  description: string,
  schema: TSchema,
  headers: Record<string, TSchema> = {},
  type = 'application/json'
): Answer => ({
  description,
  headers,
  content: { [type]: { schema } }
})
const Bytes = Type.String({ format: 'binary' })
const list = (of: string): TSchema => Type.Object({ [of]: Type.Array(Type.String()) })

/** spec, "Error Codes". */
const ErrorBody = Type.Object({
  errors: Type.Array(
    Type.Object({
      code: Type.String({ pattern: '^[A-Z_]+$' }),
      message: Type.String(),
      detail: Type.Optional(Type.Unknown())
    }),
    {
      minItems: 1
    }
  )
})
const refusal = json('Refused: the codes tell why', ErrorBody)
const fault = json('Not possible now: the store is full or away, or something broke', ErrorBody)

const unchanged = bare('The client has it already', described)
const created = (what: string, more: Record<string, TSchema> = {}) =>
  bare(what, { location: Location, 'docker-content-digest': Digest, ...more })
const open = (what: string) => bare(what, session)

/** What each operation answers when it succeeds, by its method and path. */
const successes: Record<string, Record<string, Answer>> = {
  'GET /v2/': { 200: json('It is', Type.Object({}), { 'docker-distribution-api-version': Type.String() }) },
  'GET /v2/_catalog': { 200: json('A page of repositories', list('repositories')) },
  'GET /v2/{name}/blobs/{digest}': {
    200: json('The blob', Bytes, described, 'application/octet-stream'),
    206: {
      description: 'A range of it, or several as parts of a multipart body',
      headers: { ...described, 'content-range': text('Of one range; several have theirs in their parts') },
      content: { 'application/octet-stream': { schema: Bytes }, 'multipart/byteranges': { schema: Bytes } }
    },
    304: unchanged,
    307: bare('It is to be had there', { location: Location })
  },
  'HEAD /v2/{name}/blobs/{digest}': { 200: bare('It is there', described), 304: unchanged },
  'DELETE /v2/{name}/blobs/{digest}': { 202: bare('It is gone') },
  'POST /v2/{name}/blobs/uploads/': { 201: created('The blob is there'), 202: open('An upload session has begun') },
  'GET /v2/{name}/blobs/uploads/{session}': { 204: open('The session is open') },
  'PATCH /v2/{name}/blobs/uploads/{session}': { 202: open('The chunk has arrived') },
  'PUT /v2/{name}/blobs/uploads/{session}': { 201: created('The blob is there') },
  'DELETE /v2/{name}/blobs/uploads/{session}': { 204: bare('The session is over') },
  'GET /v2/{name}/manifests/{reference}': {
    200: json('The manifest; its media type is the one it was pushed with', Type.Unknown(), described, '*/*'),
    304: unchanged
  },
  'HEAD /v2/{name}/manifests/{reference}': { 200: bare('It is there', described), 304: unchanged },
  'PUT /v2/{name}/manifests/{reference}': {
    201: created('The manifest is there', { warning: text('What contradicts the registry, though the push succeeded') })
  },
  'DELETE /v2/{name}/manifests/{reference}': { 202: bare('It is gone') },
  'GET /v2/{name}/tags/list': {
    200: json('A page of tags', Type.Intersect([Type.Object({ name: Type.String() }), list('tags')]))
  },
  'GET /v2/{name}/referrers/{digest}': {
    200: json(
      'An index of the referrers',
      Type.Object({ schemaVersion: Type.Literal(2), manifests: Type.Array(Type.Object({})) }),
      {},
      'application/vnd.oci.image.index.v1+json'
    )
  }
}

/** The answers of an operation; to HEAD there is no body. Undefined for one that is not of this API. */
export function answersOf(method: string, path: string): Record<string, Answer> | undefined {
  const own = successes[`${method} ${path}`]
  if (own) return method === 'HEAD' ? { ...own, ...bodilessErrors } : { ...own, '4xx': refusal, '5xx': fault }
  const got = method === 'HEAD' ? successes[`GET ${path}`] : undefined
  return (
    got && {
      ...Object.fromEntries(
        Object.entries(got).map(([status, answer]) => [status, bare(answer.description, answer.headers)])
      ),
      ...bodilessErrors
    }
  )
}

const bodilessErrors = { '4xx': bare(refusal.description), '5xx': bare(fault.description) }
