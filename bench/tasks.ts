import { randomBytes } from 'node:crypto'
import { digestOf } from '../test/reliability/bytes.ts'
import { type Connection, openConnection, type Reply, type Request } from './connection.ts'
import { configOf, type ImageManifest, imageOf, imageType, largePieces, smallImage } from './content.ts'

/** How a blob travels: in one PUT with its length, or in a PATCH of 32 KiB chunks, which is how docker sends it. */
export type Way = 'put' | 'patch'

/** What one client does again and again. */
export type TaskOptions =
  | { kind: 'request'; method: 'GET' | 'HEAD'; path: string; bytes?: number }
  | { kind: 'pull-redirected'; path: string; bytes: number }
  | { kind: 'push-blob'; repository: string; size: number }
  | { kind: 'push-manifest'; repository: string; manifest: ImageManifest; by: 'tag' | 'digest' }
  | { kind: 'tag-then-request'; repository: string; manifest: ImageManifest; path: string }
  | { kind: 'push-large'; repository: string; size: number; digests: readonly string[]; way: Way; seed?: number }
  | { kind: 'pull-image'; repository: string; tag: string; digests: readonly string[] }
  | { kind: 'push-image'; repository: string; base: ImageManifest; layerBytes: number }
  | { kind: 'push-small-images' | 'pull-small-images'; repository: string; set: string }
  | { kind: 'mount'; repository: string; from: string; digest: string }
  | { kind: 'push-and-delete'; repository: string; manifest?: ImageManifest }
  | { kind: 'cancelled-upload'; repository: string; size: number }

/** Does it once. `turn` is another for every call in the process. May return which part of it is the latency, in ms. */
export type Task = (connection: Connection, turn: number) => Promise<number | undefined>

/** As clients have it: several types, so that nobody answers from a shortcut for a single one. */
const acceptField = `Accept: ${imageType}, application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json\r\n`
const bytesField = 'Content-Type: application/octet-stream\r\n'
const manifestField = `Content-Type: ${imageType}\r\n`
const chunkBytes = 32 * 1024

/** Makes a task; its answers must have the status that the spec wants, else it throws. */
export function createTask(options: TaskOptions): Task {
  // No two processes push the same content, so nothing is pushed that is there already.
  const run = randomBytes(8).toString('hex')
  switch (options.kind) {
    case 'request':
      return async connection => {
        const reply = await must(connection, 200, { ...options, fields: acceptField })
        if (options.bytes !== undefined && reply.bodyBytes !== options.bytes) {
          throw new Error(`${options.path}: ${reply.bodyBytes} bytes instead of ${options.bytes}`)
        }
        return undefined
      }
    case 'pull-redirected':
      return async connection => pullRedirected(connection, options.path, options.bytes)
    case 'push-blob':
      return async (connection, turn) => pushBlob(connection, options.repository, unlike(run, turn, options.size))
    case 'push-manifest':
      return async (connection, turn) => {
        const bytes = manifestOf(options.manifest, run, turn)
        const reference = options.by === 'tag' ? `${run}-${turn}` : digestOf(bytes)
        return putManifest(connection, options.repository, reference, bytes)
      }
    case 'tag-then-request':
      return async (connection, turn) => {
        const bytes = manifestOf(options.manifest, run, turn)
        await putManifest(connection, options.repository, `${run}-${turn}`, bytes)
        const begun = performance.now()
        await must(connection, 200, { method: 'GET', path: options.path })
        return performance.now() - begun
      }
    case 'push-large':
      return pushLarge(options)
    case 'pull-image':
      return async connection => {
        const { repository, tag, digests } = options
        const get = (path: string) => must(connection, 200, { method: 'GET', path, fields: acceptField })
        await get(`/v2/${repository}/manifests/${tag}`)
        for (const digest of digests) await get(`/v2/${repository}/blobs/${digest}`)
        return undefined
      }
    case 'push-image':
      return async (connection, turn) => pushImage(connection, options, `${run}-${turn}`)
    case 'push-small-images':
      return async (connection, turn) => pushSmallImage(connection, options.repository, options.set, turn)
    case 'pull-small-images':
      return async (connection, turn) => pullSmallImage(connection, options.repository, options.set, turn)
    case 'mount':
      return async connection => {
        const { repository, from, digest } = options
        const path = `/v2/${repository}/blobs/uploads/?mount=${digest}&from=${from}`
        await must(connection, 201, { method: 'POST', path, body: Buffer.alloc(0) })
        return undefined
      }
    case 'push-and-delete':
      return async (connection, turn) => pushAndDelete(connection, options, run, turn)
    case 'cancelled-upload':
      return async (connection, turn) => cancelUpload(connection, options.repository, unlike(run, turn, options.size))
  }
}

/** A blob, or a manifest like the one given. */
async function pushAndDelete(
  connection: Connection,
  { repository, manifest }: { repository: string; manifest?: ImageManifest },
  run: string,
  turn: number
): Promise<undefined> {
  const body = manifest ? manifestOf(manifest, run, turn) : unlike(run, turn, 4096)
  const digest = digestOf(body)
  if (manifest) await putManifest(connection, repository, digest, body)
  else await pushBlob(connection, repository, body)
  const path = `/v2/${repository}/${manifest ? 'manifests' : 'blobs'}/${digest}`
  await must(connection, 202, { method: 'DELETE', path })
  return undefined
}

/** An upload session from its beginning over a chunk and a look at it to its end. */
async function cancelUpload(connection: Connection, repository: string, body: Buffer): Promise<undefined> {
  const begun = await must(connection, 202, emptyPost(repository))
  const fields = `${bytesField}Content-Range: 0-${body.length - 1}\r\n`
  const patched = await must(connection, 202, { method: 'PATCH', path: locationOf(begun), fields, body })
  await must(connection, 204, { method: 'GET', path: locationOf(patched) })
  await must(connection, 204, { method: 'DELETE', path: locationOf(patched) })
  return undefined
}

/** A pull whose bytes come from where the registry sends the client. */
async function pullRedirected(connection: Connection, path: string, bytes: number): Promise<undefined> {
  const { head } = await must(connection, 307, { method: 'GET', path })
  const location = new URL(/^location: *(\S+)/im.exec(head)?.[1] ?? '')
  const store = await openConnection(Number(location.port))
  const { bodyBytes } = await must(store, 200, { method: 'GET', path: location.pathname + location.search })
  store.close()
  if (bodyBytes !== bytes) throw new Error(`${path}: ${bodyBytes} bytes instead of ${bytes}`)
  return undefined
}

async function pushSmallImage(
  connection: Connection,
  repository: string,
  set: string,
  turn: number
): Promise<undefined> {
  const { config, layers } = smallImage(set, turn)
  for (const blob of [config, ...layers]) await pushBlob(connection, repository, blob)
  const manifest = Buffer.from(JSON.stringify(imageOf(config, layers)))
  return putManifest(connection, repository, `v${turn}`, manifest)
}

async function pullSmallImage(
  connection: Connection,
  repository: string,
  set: string,
  turn: number
): Promise<undefined> {
  const { config, layers } = smallImage(set, turn)
  const get = async (path: string, bytes: number): Promise<void> => {
    const { bodyBytes } = await must(connection, 200, { method: 'GET', path, fields: acceptField })
    if (bodyBytes !== bytes) throw new Error(`${path}: ${bodyBytes} bytes instead of ${bytes}`)
  }
  const manifest = JSON.stringify(imageOf(config, layers))
  await get(`/v2/${repository}/manifests/v${turn}`, Buffer.byteLength(manifest))
  for (const blob of [config, ...layers]) await get(`/v2/${repository}/blobs/${digestOf(blob)}`, blob.length)
  return undefined
}

/** A new layer on the layers of an image that is there: as when an application is built again. */
async function pushImage(
  connection: Connection,
  { repository, base, layerBytes }: { repository: string; base: ImageManifest; layerBytes: number },
  id: string
): Promise<undefined> {
  for (const { digest } of base.layers) {
    await must(connection, 200, { method: 'HEAD', path: `/v2/${repository}/blobs/${digest}` })
  }
  const layer = unlike(id, 0, layerBytes)
  const config = configOf(1000, id)
  await pushBlob(connection, repository, layer)
  await pushBlob(connection, repository, config)
  const own = imageOf(config, [layer])
  const manifest = { ...own, layers: [...base.layers, ...own.layers] }
  return putManifest(connection, repository, id, Buffer.from(JSON.stringify(manifest)))
}

async function pushBlob(connection: Connection, repository: string, body: Buffer): Promise<undefined> {
  const closing = await begin(connection, repository)
  await must(connection, 201, { method: 'PUT', path: closing(digestOf(body)), fields: bytesField, body })
  return undefined
}

async function putManifest(
  connection: Connection,
  repository: string,
  reference: string,
  body: Buffer
): Promise<undefined> {
  const path = `/v2/${repository}/manifests/${reference}`
  await must(connection, 201, { method: 'PUT', path, fields: manifestField, body })
  return undefined
}

/** The digests are those of contents by `seed` and the ones after it. */
function pushLarge(options: TaskOptions & { kind: 'push-large' }): Task {
  const { seed = 0 } = options
  const contents = options.digests.map((_, index) => largePieces(seed + index, options.size))
  return async (connection, turn) => {
    const digest = options.digests[turn]!
    const pieces = contents[turn]!()
    if (options.way === 'put') {
      const closing = await begin(connection, options.repository)
      const fields = `${bytesField}Content-Length: ${options.size}\r\n`
      await must(connection, 201, { method: 'PUT', path: closing(digest), fields, body: pieces })
    } else {
      const begun = await must(connection, 202, emptyPost(options.repository))
      const fields = `${bytesField}Transfer-Encoding: chunked\r\n`
      const path = locationOf(begun)
      const patched = await must(connection, 202, { method: 'PATCH', path, fields, body: chunked(pieces) })
      await must(connection, 201, { method: 'PUT', path: withDigest(patched, digest), body: Buffer.alloc(0) })
    }
    return undefined
  }
}

/** RFC 9112, 7.1; frames of one piece go out together. */
function* chunked(pieces: Iterable<Buffer>): Generator<Buffer> {
  for (const piece of pieces) {
    const frames: Buffer[] = []
    for (let at = 0; at < piece.length; at += chunkBytes) {
      const chunk = piece.subarray(at, at + chunkBytes)
      frames.push(Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, Buffer.from('\r\n'))
    }
    yield Buffer.concat(frames)
  }
  yield Buffer.from('0\r\n\r\n')
}

const emptyPost = (repository: string): Request => ({
  method: 'POST',
  path: `/v2/${repository}/blobs/uploads/`,
  body: Buffer.alloc(0)
})

/** Opens an upload session and returns how its closing PUT is addressed. */
async function begin(connection: Connection, repository: string): Promise<(digest: string) => string> {
  const begun = await must(connection, 202, emptyPost(repository))
  return digest => withDigest(begun, digest)
}

function locationOf({ head }: Reply): string {
  const location = /^location: *(?:https?:\/\/[^/]*)?(\S+)/im.exec(head)?.[1]
  if (location === undefined) throw new Error(`An answer without a Location:\n${head}`)
  return location
}

function withDigest(reply: Reply, digest: string): string {
  const location = locationOf(reply)
  return `${location}${location.includes('?') ? '&' : '?'}digest=${digest}`
}

async function must(connection: Connection, status: number, request: Request): Promise<Reply> {
  const reply = await connection.send(request)
  if (reply.status === status) return reply
  throw new Error(`${request.method} ${request.path}: ${reply.status} instead of ${status}`)
}

function unlike(run: string, turn: number, size: number): Buffer {
  const bytes = Buffer.alloc(size)
  bytes.write(`${run} ${turn}`)
  return bytes
}

const manifestOf = (manifest: ImageManifest, run: string, turn: number): Buffer =>
  Buffer.from(JSON.stringify({ ...manifest, annotations: { run, turn: String(turn) } }))
