import { TypeBoxValidatorCompiler } from '@fastify/type-provider-typebox'
import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import type { Registry as MetricsRegister } from 'prom-client'
import access, { type AccessPluginOptions } from '../plugins/access.ts'
import audit from '../plugins/audit.ts'
import authorize, { type Authorize } from '../plugins/authorize.ts'
import contentNegotiation from '../plugins/content-negotiation.ts'
import cors from '../plugins/cors.ts'
import errors from '../plugins/errors.ts'
import events, { type OnEvent } from '../plugins/events.ts'
import gc from '../plugins/gc.ts'
import health from '../plugins/health.ts'
import metricsRoute from '../plugins/metrics.ts'
import ociRouting from '../plugins/oci-routing.ts'
import pendingAnswers from '../plugins/pending-answers.ts'
import rateLimit from '../plugins/rate-limit.ts'
import readOnly from '../plugins/read-only.ts'
import registry from '../plugins/registry.ts'
import requestMetrics from '../plugins/request-metrics.ts'
import requestTracing from '../plugins/request-tracing.ts'
import responseHeaders from '../plugins/response-headers.ts'
import storagePlugin, { type Storage } from '../plugins/storage.ts'
import uploadLimits from '../plugins/upload-limits.ts'
import base from '../routes/base.ts'
import blobs from '../routes/blobs.ts'
import catalog from '../routes/catalog.ts'
import manifests from '../routes/manifests.ts'
import referrers from '../routes/referrers.ts'
import tags from '../routes/tags.ts'
import token from '../routes/token.ts'
import uploads from '../routes/uploads.ts'
import { type Config, defaults } from './config.ts'
import { createLinks, type Links } from './http/links.ts'
import type { Exposition } from './metrics/exposition.ts'
import { checkOptions } from './plugin-options.ts'
import { createReadiness, type Readiness } from './registry/readiness.ts'
import { observeAll } from './storage/guard.ts'
import type { Tracing } from './tracing/tracing.ts'

/** Settings of the plugin: those of the configuration that concern a registry, and where it keeps its bytes. */
export interface MarinaOptions
  extends Partial<
    Pick<
      Config,
      | 'deleteEnabled'
      | 'manifestMaxBytes'
      | 'manifestAllowSparse'
      | 'manifestSizeCheck'
      | 'manifestReferencesMax'
      | 'tagsPageMax'
      | 'uploadExpiryMs'
      | 'externalUrl'
      | 'gcGraceMs'
      | 'gcIntervalMs'
      | 'bufferMemoryBytes'
      | 'cacheMemoryBytes'
      | 'redirectExpiryMs'
      | 'metadataTtlMs'
      | 'access'
      | 'auditLog'
      | 'limits'
      | 'quotas'
      | 'readOnly'
      | 'immutableTags'
      | 'corsOrigins'
      | 'corsCredentials'
    >
  > {
  /** A folder, a bucket, or a driver of your own. The plugin closes it with the app. */
  storage: Storage
  /** Where the registry's metrics go: a register of prom-client's, one a registry. Default: nothing is measured. */
  metrics?: MetricsRegister | undefined
  /** Metrics served at `<prefix>/metrics`, with access control to who logs in. Default: none are. */
  exposition?: Exposition | undefined
  /** Makes spans of requests and of what the storage does for them. Default: none are made. */
  tracing?: Tracing | undefined
  /** Whether `<prefix>/livez` and `<prefix>/readyz` are served, to whoever asks. Default false. */
  health?: boolean
  /** Decides who may do what, in place of `access`. */
  authorize?: Authorize
  /** Is told of pushes, pulls and deletions, once they are answered. */
  onEvent?: OnEvent
  /** ms since 1970, for upload sessions and tokens; for tests. */
  now?: () => number
  /** A clock in ms that nobody sets, for intervals; for tests. Default: `now` where that is given, else the machine's. */
  steady?: () => number
}

/** Loaded when it is wanted, outside of the default export as storage's `loadS3` is. */
const loadMetrics = async () => (await import('./metrics/metrics.ts')).createMetrics

/**
 * The registry as a Fastify plugin: `app.register(marina, { prefix, storage })` serves the API under `<prefix>/v2/`.
 * It is encapsulated: parsers, hooks, decorators and error handlers stay inside, and an app may hold several.
 */
const marina: FastifyPluginAsync<MarinaOptions> = async (app, marinaOptions) => {
  checkOptions(marinaOptions)
  const { exposition, health: probed = false, ...given } = marinaOptions
  if (given.access && given.authorize) throw new TypeError('access and authorize are both given; allowed: one of them')
  if (exposition && given.authorize) {
    throw new TypeError(
      'exposition is given, and authorize is not asked about it; allowed: a route of your own for metrics'
    )
  }
  const options = { ...defaults, ...given }
  let opened: FastifyInstance | undefined
  let readiness: Readiness | undefined
  if (probed) await app.register(health, { readiness: () => readiness })
  await app.register(
    async v2 => {
      await registerApi(v2, options)
      opened = v2
      readiness = createReadiness({ storage: v2.storage, log: v2.log, writes: !options.readOnly })
    },
    { prefix: '/v2' }
  )
  if (exposition) await app.register(metricsRoute, { exposition, access: options.access, api: opened! })
}

export default marina
export type { Authorize, RequestedAction, Verdict } from '../plugins/authorize.ts'
export type { OnEvent } from '../plugins/events.ts'
export type { S3Storage, Storage } from '../plugins/storage.ts'
export { type BuildOptions, buildApp } from './app.ts'
export type { AccessSettings } from './config/access.ts'
export type { LimitSettings } from './config/limits.ts'
export { type Config, ConfigError, defaults, loadConfig } from './config.ts'
export type { RegistryEvent } from './http/events.ts'
export type { QuotaRule } from './registry/quota.ts'
export { type StorageDriver, StorageError } from './storage/driver.ts'

async function registerApi(app: FastifyInstance, options: Config & MarinaOptions): Promise<void> {
  const { storage, now, metrics: register, tracing } = options
  // An embedder may check requests in a way of their own, or not at all.
  app.setValidatorCompiler(TypeBoxValidatorCompiler)
  await app.register(errors)
  await app.register(responseHeaders, { api: true })
  await app.register(pendingAnswers, { most: options.bufferMemoryBytes })
  const metrics = register && (await loadMetrics())(register)
  await app.register(storagePlugin, {
    storage,
    bufferMemoryBytes: options.bufferMemoryBytes,
    readOnly: options.readOnly,
    observer: observeAll(metrics?.storage, tracing?.storage)
  })
  await app.register(registry, {
    graceMs: options.gcGraceMs,
    uploadExpiryMs: options.uploadExpiryMs,
    cacheBytes: options.cacheMemoryBytes,
    bufferBytes: options.bufferMemoryBytes,
    redirectExpiryMs: options.redirectExpiryMs,
    metadataTtlMs: options.metadataTtlMs,
    sparse: options.manifestAllowSparse,
    sizeCheck: options.manifestSizeCheck,
    referencesMax: options.manifestReferencesMax,
    immutableTags: options.immutableTags,
    quotas: options.quotas,
    expires: !options.readOnly,
    ...(now && { now }),
    steady: options.steady ?? now ?? (() => performance.now())
  })
  metrics?.opened(app.storage, app.registry)
  await app.register(gc, {
    collected: metrics?.collected,
    intervalMs: options.readOnly ? 0 : options.gcIntervalMs,
    graceMs: options.gcGraceMs,
    uploadExpiryMs: options.uploadExpiryMs
  })
  const { corsOrigins: origins, corsCredentials: credentials } = options
  if (origins.length > 0) await app.register(cors, { origins, credentials })
  await app.register(ociRouting)
  if (tracing) await app.register(requestTracing, { tracing })
  if (metrics) await app.register(requestMetrics, { requests: metrics.requests })
  const { externalUrl, deleteEnabled, readOnly: reading, manifestMaxBytes, tagsPageMax } = options
  const links = createLinks({ externalUrl, prefix: app.prefix })
  await registerAccess(app, options, links, metrics?.passwordChecked)
  if (options.readOnly) await app.register(readOnly)
  await app.register(contentNegotiation)

  const routes = { links, deleteEnabled, readOnly: reading, manifestMaxBytes, tagsPageMax }
  await app.register(base)
  await app.register(blobs, routes)
  await app.register(uploads, routes)
  await app.register(manifests, routes)
  await app.register(tags, routes)
  await app.register(referrers, routes)
  await app.register(catalog, routes)
  if (app.issueToken) await app.register(token)
}

/** Who may do what, how often, and who is told: what stands before every route. */
async function registerAccess(
  app: FastifyInstance,
  options: Config & MarinaOptions,
  links: Links,
  passwordChecked: AccessPluginOptions['passwordChecked']
): Promise<void> {
  const { now, authorize: decide, onEvent } = options
  const steady = options.steady ?? now ?? (() => performance.now())
  const { perAddress, perUser, ...uploadsOf } = options.limits ?? { uploads: 0, uploadSessions: 0 }
  if (perAddress) await app.register(rateLimit, { rate: perAddress, by: 'address', steady })
  if (decide) {
    await app.register(authorize, { authorize: decide })
  } else {
    await app.register(access, {
      access: options.access,
      links,
      readOnly: options.readOnly,
      now,
      steady,
      passwordChecked
    })
  }
  if (perUser) await app.register(rateLimit, { rate: perUser, by: 'user', steady })
  await app.register(uploadLimits, { ...uploadsOf, uploadExpiryMs: options.uploadExpiryMs, steady })
  if (options.auditLog ?? (options.access ?? decide) !== undefined) await app.register(audit)
  if (onEvent) await app.register(events, { onEvent })
}
