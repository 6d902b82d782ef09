import type { ServerOptions } from 'node:http'
import type { Server as HttpsServer } from 'node:https'
import Fastify, { type FastifyInstance } from 'fastify'
import type { Authorize } from '../plugins/authorize.ts'
import connections from '../plugins/connections.ts'
import errors, { frameworkErrors, onClientError, refuseConnection } from '../plugins/errors.ts'
import front from '../plugins/front.ts'
import openapi from '../plugins/openapi.ts'
import requestHead from '../plugins/request-head.ts'
import requestId from '../plugins/request-id.ts'
import responseHeaders from '../plugins/response-headers.ts'
import tlsRenewal from '../plugins/tls.ts'
import { readTls } from './config/tls.ts'
import type { Config } from './config.ts'
import { handleExpectContinue } from './http/body.ts'
import { limitIdle } from './http/idle.ts'
import { catchPlainHttp } from './http/plain-http.ts'
import { createRequestIds } from './http/request-id.ts'
import marina from './index.ts'
import { isPretty, jsonOptions, loggerOptions, requestLog, requestLogger } from './logger.ts'
import type { ProcessMetrics } from './metrics/exposition.ts'
import type { StorageDriver } from './storage/driver.ts'
import { version } from './version.ts'

export interface BuildOptions {
  /** Storage to use instead of the configured one; for tests. */
  storage?: StorageDriver
  /** Decides who may do what, in place of the configured access control; for tests. */
  authorize?: Authorize | undefined
  /** Where the log goes instead of stdout; for tests. */
  log?: { write(line: string): void }
  /** ms since 1970; for tests. */
  now?: () => number
  /** A clock in ms that nobody sets, for intervals; for tests. */
  steady?: (() => number) | undefined
  /** Where metrics are gathered. Default: nothing is measured, unless the configuration serves them on the main port. */
  metrics?: ProcessMetrics | undefined
  /** Whether the log takes nothing below errors until its level is set: what happens at a start is told by somebody else. */
  quiet?: boolean | undefined
}

/**
 * The app factory: a registry, ready to listen or to be driven with `inject()`. It listens on nothing itself.
 * Throws StorageError with one sentence for the operator when the storage can't be used.
 */
export async function buildApp(config: Config, options: BuildOptions = {}): Promise<FastifyInstance> {
  const { storage, authorize, log, now, steady, metrics: given, quiet } = options
  const app = Fastify({
    logger: log ? { ...jsonOptions(config), stream: log } : (loggerOptions(config) ?? false),
    logController: requestLog(config, log === undefined && isPretty(config)),
    // No plugin has to be ready within a time: what takes long says itself what it waits for.
    pluginTimeout: 0,
    genReqId: createRequestIds(),
    childLoggerFactory: requestLogger,
    trustProxy: config.trustProxy,
    clientErrorHandler: onClientError,
    frameworkErrors,
    // A name of 255 characters with a digest is one "parameter" to the router.
    routerOptions: { maxParamLength: 4096 },
    keepAliveTimeout: config.keepAliveTimeoutMs,
    // Uploads take as long as they take; their bodies never pass Fastify's parsers.
    requestTimeout: 0,
    // What comes over a connection that is open while the app closes is in flight as well: it is served.
    return503OnClosing: false,
    ...serverOptions(config)
  })
  if (quiet && config.logLevel !== 'silent') app.log.level = 'error'
  handleExpectContinue(app.server)
  limitIdle(app.server, config.idleTimeoutMs)
  if (config.tls) {
    catchPlainHttp(app.server as unknown as HttpsServer, config.headersTimeoutMs, socket =>
      refuseConnection(socket, 400, 'this port speaks HTTPS, and the request came in plain HTTP')
    )
  }
  await app.register(errors)
  await app.register(responseHeaders, {})
  await app.register(requestId)
  await app.register(connections, { most: config.maxConnections })
  await app.register(requestHead)
  const measured = given ?? (config.metricsEnabled ? await processMetrics() : undefined)
  if (config.tls) await app.register(tlsRenewal, { tls: config.tls, endsAt: measured?.certificateEndsAt, now })
  const tracing = config.otlp && (await loadTracing())(config.otlp)
  if (tracing) app.addHook('onClose', () => tracing.close())
  await app.register(front)
  if (config.openapiEnabled) {
    await app.register(openapi, { title: 'marina-distribution', version, perAddress: config.limits?.perAddress })
  }
  await app.register(marina, {
    ...config,
    storage: storage ?? (config.s3 ? { s3: config.s3 } : { path: config.storagePath }),
    metrics: measured?.register,
    exposition: config.metricsEnabled ? measured : undefined,
    tracing,
    health: true,
    ...(authorize && { authorize }),
    ...(now && { now }),
    ...(steady && { steady })
  })
  await app.ready()
  return app
}

/** OpenTelemetry is loaded only when there is somebody to send traces to. */
const loadTracing = async () => (await import('./tracing/otlp.ts')).openTracing

/** Metrics of this process. Their library is loaded only when they are wanted. */
export async function processMetrics(): Promise<ProcessMetrics> {
  return (await import('./metrics/exposition.ts')).createProcessMetrics()
}

/** How often connections are looked for whose headers take too long, at least. */
const CHECKING_MS = 10_000

/** What Node's server is made with, for HTTP or HTTPS. */
function serverOptions({ tls, headersTimeoutMs, maxHeaderBytes }: Config): { http?: ServerOptions } {
  // One read from the socket, as Node.js does it. With 1 MiB, uploads take longer and twice the memory, and others wait.
  // A missing Host is refused by a plugin: Node's own answer has no body.
  const http = {
    highWaterMark: 64 * 1024,
    requireHostHeader: false,
    headersTimeout: headersTimeoutMs,
    maxHeaderSize: maxHeaderBytes,
    connectionsCheckingInterval: Math.min(headersTimeoutMs, CHECKING_MS),
    requestTimeout: 0
  }
  if (!tls) return { http }
  // A client without a certificate, or with one of somebody else's, may still log in with a password.
  const certificates = { requestCert: tls.clientCaFile !== undefined, rejectUnauthorized: false }
  const https = { ...http, ...readTls(tls), ...certificates }
  // To all who use it, a server of HTTPS is one of HTTP; Fastify's types keep the two apart.
  return { https } as { http?: ServerOptions }
}
