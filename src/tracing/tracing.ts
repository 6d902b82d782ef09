import { AsyncLocalStorage } from 'node:async_hooks'
import type { IncomingHttpHeaders } from 'node:http'
import {
  type Attributes,
  type Context,
  defaultTextMapGetter,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace
} from '@opentelemetry/api'
import { W3CTraceContextPropagator } from '@opentelemetry/core'
import { StorageError } from '../storage/driver.ts'
import type { StorageObserver } from '../storage/guard.ts'

/** What is told of a request when it begins. */
export interface Begun {
  method: string
  /** The endpoint as the documentation writes it: `/v2/{name}/tags/list`. */
  route: string | undefined
  path: string
  headers: IncomingHttpHeaders
}

export interface RequestSpan {
  traceId: string
  /** Does what belongs to the request: calls of the storage become parts of it. */
  run(work: () => void): void
  /** Ends it; undefined: the client went away. */
  end(status: number | undefined): void
}

export type Tracing = ReturnType<typeof createTracing>

/**
 * Spans of requests and of what the storage does for them. Nothing is kept where all of a process could see it, so that an
 * app may have its own tracing beside this.
 */
export function createTracing(tracer: Tracer) {
  const propagator = new W3CTraceContextPropagator()
  const current = new AsyncLocalStorage<Context>()

  function begin({ method, route, path, headers }: Begun): RequestSpan {
    const parent = propagator.extract(ROOT_CONTEXT, headers, defaultTextMapGetter)
    const attributes: Attributes = { 'http.request.method': method, 'url.path': path }
    if (route !== undefined) attributes['http.route'] = route
    if (headers['user-agent'] !== undefined) attributes['user_agent.original'] = headers['user-agent']
    const span = tracer.startSpan(route ? `${method} ${route}` : method, { kind: SpanKind.SERVER, attributes }, parent)
    const context = trace.setSpan(parent, span)
    return {
      traceId: span.spanContext().traceId,
      run: work => current.run(context, work),
      end: status => endRequest(span, status)
    }
  }

  /** What nobody asked for, such as a collection, is not traced. */
  const storage: StorageObserver = operation => {
    const context = current.getStore()
    if (!context) return () => {}
    const span = tracer.startSpan(`storage ${operation}`, { kind: SpanKind.CLIENT }, context)
    return error => {
      if (error !== undefined) fail(span, error instanceof StorageError ? error.fault : 'source')
      span.end()
    }
  }

  return { begin, storage }
}

function endRequest(span: Span, status: number | undefined): void {
  if (status !== undefined) span.setAttribute('http.response.status_code', status)
  if (status === undefined) fail(span, 'aborted')
  else if (status >= 500) fail(span, String(status))
  span.end()
}

/** A kind only: messages may have paths and keys in them. */
function fail(span: Span, kind: string): void {
  span.setAttribute('error.type', kind)
  span.setStatus({ code: SpanStatusCode.ERROR })
}
