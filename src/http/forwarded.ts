import type { FastifyRequest } from 'fastify'

/**
 * The path prefix that a trusted proxy took off the request's URL. Undefined where no trusted proxy says one.
 */
export function forwardedPrefix(request: FastifyRequest): string | undefined {
  const prefix = request.headers['x-forwarded-prefix']
  return typeof prefix === 'string' && isProxyTrusted(request) ? prefix : undefined
}

/**
 * Where the client sent the request: `https://registry.example.com`. What trusted proxies say counts more than the request
 * itself, and what is no scheme or no host counts nowhere, since clients send passwords to URLs that are made of this.
 * Undefined where no valid host is known.
 */
export function originOf(request: FastifyRequest): string | undefined {
  const trusted = isProxyTrusted(request)
  const said = (header: string): string | undefined => (trusted ? outermost(request, header) : undefined)
  const scheme = said('x-forwarded-proto')?.toLowerCase()
  const ownScheme = 'encrypted' in request.raw.socket ? 'https' : 'http'
  const host = [said('x-forwarded-host'), request.headers.host].find(isHost)
  return host === undefined ? undefined : `${scheme === 'https' || scheme === 'http' ? scheme : ownScheme}://${host}`
}

/** RFC 3986 section 3.2.2, and a port: a name or an address, and nothing that ends a quoted string or a URL's host. */
const HOST = /^(?:\[[\da-fA-F:.]+\]|[\w.~-]+)(?::\d{1,5})?$/
const isHost = (text: string | undefined): text is string => text !== undefined && HOST.test(text)

const PROBE = 'trusted.invalid'

/**
 * Whether the app trusts the address that the connection comes from. Only Fastify knows what its `trustProxy` means, so it
 * is asked whether it would believe a host that this request does not name.
 */
export function isProxyTrusted(request: FastifyRequest): boolean {
  if (request.ips === undefined) return false // without `trustProxy` nothing is trusted
  const asked = Object.create(request, { headers: { value: { 'x-forwarded-host': PROBE } } }) as FastifyRequest
  return asked.host === PROBE
}

/**
 * The value that the outermost trusted proxy gave a header to which each proxy adds its own at the end. Where there are
 * more values than addresses in `X-Forwarded-For`, nobody knows which proxy each is of, and the first one counts.
 */
function outermost({ headers, ips = [] }: FastifyRequest, header: string): string | undefined {
  const values = valuesOf(headers[header])
  const addresses = valuesOf(headers['x-forwarded-for'])
  const trusted = values.length > addresses.length ? values.length : Math.max(ips.length - 1, 1)
  return values[Math.max(values.length - trusted, 0)]
}

function valuesOf(header: string | string[] | undefined): string[] {
  const items = [header ?? []].flat().join(',').split(',')
  return items.map(item => item.trim()).filter(item => item !== '')
}
