import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Authorize } from '../plugins/authorize.ts'
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

/** Who may log in, and what everybody else may do. */
export interface TestLogins {
  /** Passwords by user. Each of these users may do everything. Default: nobody has to log in. */
  logins?: Readonly<Record<string, string>>
  /** With `logins`: what a client may do that has not logged in. Default `none`. */
  anonymous?: 'none' | 'pull'
}

/** Settings that a test may turn; docs/configuration.md says what each does. */
export interface TestSettings
  extends TestLogins,
    Partial<
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
    > {}

/** Starts a registry for a test: on a free port of loopback, empty, and with its content in memory. */
export async function startRegistry(options: TestSettings = {}): Promise<TestRegistry> {
  const { logins, anonymous = 'none', ...settings } = options
  const config = { ...defaults, ...settings, logLevel: 'silent' as const, openapiEnabled: false, gcIntervalMs: 0 }
  const app = await buildApp(config, {
    storage: createMemory(),
    authorize: logins && authorizeBy(logins, anonymous)
  })
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

/** Access control by passwords, as `AUTH_HTPASSWD_FILE` and `AUTH_ANONYMOUS` make it, without files. */
function authorizeBy(logins: Readonly<Record<string, string>>, anonymous: 'none' | 'pull'): Authorize {
  return ({ headers }, { name }) => {
    const { authorization } = headers
    if (authorization === undefined) return (anonymous === 'pull' && name === 'pull') || 'login'
    const [, encoded = ''] = /^Basic +(\S+)$/i.exec(authorization) ?? []
    const [, user = '', password] = /^([^:]*):(.*)$/s.exec(Buffer.from(encoded, 'base64').toString()) ?? []
    return Object.hasOwn(logins, user) && logins[user] === password ? { user } : 'login'
  }
}
