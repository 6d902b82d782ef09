/** The groups of the spec's endpoint table that have a repository's name in their path. */
export type Endpoint = 'blob' | 'uploads' | 'upload' | 'manifest' | 'tags' | 'referrers'

/** What a path says, percent-decoded once and not validated: the domain decides what is a name or a digest. */
export interface EndpointParams {
  name: string
  /** Of `blob` and `referrers`. */
  digest?: string
  /** Of `manifest`: a tag or a digest. */
  reference?: string
  /** Of `upload`. */
  session?: string
}

export interface EndpointMatch {
  endpoint: Endpoint
  params: EndpointParams
}

/** The methods of each endpoint, for `Allow` (spec, "Endpoints"). */
export const allowedMethods: Readonly<Record<Endpoint, readonly string[]>> = {
  blob: ['GET', 'HEAD', 'DELETE'],
  uploads: ['POST'],
  upload: ['GET', 'HEAD', 'PATCH', 'PUT', 'DELETE'],
  manifest: ['GET', 'HEAD', 'PUT', 'DELETE'],
  tags: ['GET', 'HEAD'],
  referrers: ['GET', 'HEAD']
}

/**
 * Finds the endpoint that a raw request URL names. It is read from the right, because a repository's name has any number
 * of components and they may be called `blobs` or `manifests` themselves.
 *
 * @param url the request line's URL: a path with an optional query, or an absolute URL (RFC 9112 section 3.2.2)
 * @param skip how many leading segments belong to the mount prefix: 1 for `/v2`
 * @returns undefined where no endpoint is named, the name is empty or an escape is malformed; it never throws
 */
export function matchEndpoint(url: string, skip = 0): EndpointMatch | undefined {
  const path = pathOf(url)
  const shape = shapeOf(path)
  if (shape === undefined) return undefined
  const nameStart = startOfName(path, skip)
  if (nameStart === -1 || nameStart >= shape.nameEnd) return undefined
  try {
    const name = decode(path.slice(nameStart, shape.nameEnd))
    return { endpoint: shape.endpoint, params: paramsOf(shape.endpoint, name, shape.last) }
  } catch {
    return undefined
  }
}

/** How many path segments a mount prefix has: `/registry/v2` has 2. */
export function segmentsIn(prefix: string): number {
  return prefix.split('/').filter(segment => segment !== '').length
}

/** A request URL's path: without query, fragment, scheme and host. */
export function pathOf(url: string): string {
  const end = url.search(/[?#]/)
  const target = end === -1 ? url : url.slice(0, end)
  if (target.startsWith('/')) return target
  const authority = target.indexOf('://')
  const path = authority === -1 ? -1 : target.indexOf('/', authority + 3)
  return path === -1 ? '' : target.slice(path)
}

interface Shape {
  endpoint: Endpoint
  /** Index of the slash that ends the name. */
  nameEnd: number
  /** The last segment, still escaped. */
  last: string
}

function shapeOf(path: string): Shape | undefined {
  const slash = path.lastIndexOf('/')
  const before = path.lastIndexOf('/', slash - 1)
  const last = path.slice(slash + 1)
  switch (path.slice(before + 1, slash)) {
    case 'manifests':
      return last === '' ? undefined : { endpoint: 'manifest', nameEnd: before, last }
    case 'referrers':
      return last === '' ? undefined : { endpoint: 'referrers', nameEnd: before, last }
    case 'tags':
      return last === 'list' ? { endpoint: 'tags', nameEnd: before, last } : undefined
    case 'blobs':
      return last === '' ? undefined : { endpoint: last === 'uploads' ? 'uploads' : 'blob', nameEnd: before, last }
    case 'uploads': {
      const blobs = path.lastIndexOf('/', before - 1)
      if (path.slice(blobs + 1, before) !== 'blobs') return undefined
      return { endpoint: last === '' ? 'uploads' : 'upload', nameEnd: blobs, last }
    }
    default:
      return undefined
  }
}

function startOfName(path: string, skip: number): number {
  let slash = 0
  for (let skipped = 0; skipped < skip; skipped++) {
    slash = path.indexOf('/', slash + 1)
    if (slash === -1) return -1
  }
  return slash + 1
}

function paramsOf(endpoint: Endpoint, name: string, last: string): EndpointParams {
  switch (endpoint) {
    case 'blob':
    case 'referrers':
      return { name, digest: decode(last) }
    case 'manifest':
      return { name, reference: decode(last) }
    case 'upload':
      return { name, session: decode(last) }
    default:
      return { name }
  }
}

function decode(text: string): string {
  return text.includes('%') ? decodeURIComponent(text) : text
}
