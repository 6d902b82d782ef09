import { randomBytes } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'

/** It goes into logs and back to the client, so it is short and of harmless characters. */
const TAKEN = /^[\w.:/+=@-]{1,128}$/

/** W3C Trace Context, section 3.2: version, trace id, parent id, flags. A trace id of zeros is none. */
const TRACEPARENT = /^[\da-f]{2}-(?!0{32})([\da-f]{32})-[\da-f]{16}-[\da-f]{2}(?:-|$)/

/** Names requests: by the client's `X-Request-Id` where it can be taken, else by a name that no other process gives. */
export function createRequestIds(): (request: { headers: IncomingHttpHeaders }) => string {
  const process = randomBytes(6).toString('base64url')
  let count = 0
  return ({ headers }) => {
    const given = headers['x-request-id']
    return typeof given === 'string' && TAKEN.test(given) ? given : `${process}-${(count++).toString(36)}`
  }
}

/** The trace that the client says the request is a part of. */
export function traceIdOf({ traceparent }: IncomingHttpHeaders): string | undefined {
  return typeof traceparent === 'string' ? TRACEPARENT.exec(traceparent)?.[1] : undefined
}
