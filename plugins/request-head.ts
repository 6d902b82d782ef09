import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { RegistryError } from '../src/registry/errors.ts'

/**
 * Refuses requests whose head says something that this server does not do, or says it in two ways: a proxy before it might
 * have understood another thing. Most of such is refused by Node's parser; this is the rest.
 */
async function requestHead(app: FastifyInstance): Promise<void> {
  // Headers beyond this number would be dropped in silence; their bytes are limited all the same.
  app.server.maxHeadersCount = 0
  // Without a listener Node answers 417 with no body.
  app.server.on('checkExpectation', (request, response) => app.server.emit('request', request, response))
  app.addHook('onRequest', (request, reply, done) => {
    const error = faultOf(request.raw)
    if (error !== undefined) reply.header('connection', 'close')
    done(error)
  })
}

export default fp(requestHead, { name: 'request-head', fastify: '5.x' })

const malformed = (message: string): RegistryError => new RegistryError('request-invalid', {}, { message })

function faultOf(request: FastifyRequest['raw']): RegistryError | undefined {
  const { headers, httpVersion, rawHeaders } = request
  if (httpVersion !== '1.1' && httpVersion !== '1.0') return malformed('the HTTP version is none of 1.0 and 1.1')
  const hosts = countOf('host', rawHeaders)
  // RFC 9112 section 3.2: exactly one, and HTTP/1.0 may go without.
  if (hosts > 1 || (hosts === 0 && httpVersion === '1.1')) return malformed('a request has one Host header')
  if (!HOST.test(headers.host ?? '')) return malformed('the Host header is malformed')
  const coding = headers['transfer-encoding']
  if (coding !== undefined) {
    // RFC 9112 section 6.1: HTTP/1.0 has none, and what is not known is answered with 501.
    if (httpVersion === '1.0') return malformed('HTTP/1.0 has no Transfer-Encoding')
    if (coding.trim().toLowerCase() !== 'chunked') return new RegistryError('transfer-coding-unknown')
  }
  const { expect } = headers
  if (expect !== undefined && expect.toLowerCase() !== '100-continue') return new RegistryError('expectation-unknown')
  return undefined
}

/** RFC 3986 section 3.2.2, and a port. */
const HOST = /^(?:\[[\da-fA-F:.]+\]|[\w.~%!$&'()*+,;=-]*)(?::\d*)?$/

/** How many headers of this name, lower-cased, a request has. `headers` keeps the first of some, as Host. */
function countOf(name: string, rawHeaders: readonly string[]): number {
  let count = 0
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const header = rawHeaders[at]!
    if (header.length === name.length && header.toLowerCase() === name) count += 1
  }
  return count
}
