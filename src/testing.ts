import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buildApp } from './app.ts'
import { type Config, defaults } from './config.ts'
import { createMemory } from './storage/memory.ts'
import { applyFault, type Fault, type Meets, nextFault, type Waiting } from './testing/faults.ts'

export type { Fault, Meets } from './testing/faults.ts'

/** A request as it came in. */
export interface SeenRequest {
  method: string
  /** The path with its query. */
  path: string
  headers: IncomingHttpHeaders
  /** Of its answer; undefined: there is none yet, or the connection broke before. */
  status: number | undefined
}

export interface TestRegistry extends AsyncDisposable {
  /** As `http://127.0.0.1:49152`. */
  readonly url: string
  /** As clients name it before a repository: `127.0.0.1:49152`. */
  readonly host: string
  /** All requests so far, in their order. */
  readonly requests: readonly SeenRequest[]
  /** Has the next request that `meets` describes go wrong. Returns how to take that back. */
  fail(fault: Fault, meets?: Meets): () => void
  /** Forgets the requests seen and the faults that wait. Content stays. */
  clear(): void
  /** Ends it; connections that are open are cut. */
  close(): Promise<void>
}

/** Settings that a test may turn; docs/configuration.md says what each does. */
export type TestSettings = Partial<
  Pick<
    Config,
    | 'deleteEnabled'
    | 'manifestMaxBytes'
    | 'manifestAllowSparse'
    | 'manifestSizeCheck'
    | 'manifestReferencesMax'
    | 'tagsPageMax'
    | 'uploadExpiryMs'
  >
>

/** Starts a registry for a test: on a free port of loopback, empty, and with its content in memory. */
export async function startRegistry(settings: TestSettings = {}): Promise<TestRegistry> {
  const config = { ...defaults, ...settings, logLevel: 'silent' as const, openapiEnabled: false, gcIntervalMs: 0 }
  const app = await buildApp(config, { storage: createMemory() })
  const requests: SeenRequest[] = []
  const waiting: Waiting[] = []

  // In front of all that Fastify does, so that what is counted is what came in, and a fault may break anything.
  const [handle] = app.server.listeners('request') as [(request: IncomingMessage, response: ServerResponse) => void]
  app.server.removeAllListeners('request')
  app.server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    const { method = '', url: path = '', headers } = request
    const seen: SeenRequest = { method, path, headers, status: undefined }
    requests.push(seen)
    response.once('finish', () => (seen.status = response.statusCode))
    const fault = nextFault(waiting, request)
    if (!fault) return handle(request, response)
    applyFault(fault, response, () => handle(request, response)).catch(() => response.destroy())
  })

  await app.listen({ host: '127.0.0.1', port: 0 })
  const host = `127.0.0.1:${(app.server.address() as AddressInfo).port}`
  const close = async (): Promise<void> => {
    app.server.closeAllConnections()
    await app.close()
  }
  return {
    url: `http://${host}`,
    host,
    requests,
    fail(fault, meets = {}) {
      const one = { fault, meets, left: meets.times ?? 1 }
      waiting.push(one)
      return () => void (one.left = 0)
    },
    clear() {
      requests.length = 0
      waiting.length = 0
    },
    close,
    [Symbol.asyncDispose]: close
  }
}
