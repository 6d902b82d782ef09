import { TypeBoxValidatorCompiler } from '@fastify/type-provider-typebox'
import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import access from '../plugins/access.ts'
import audit from '../plugins/audit.ts'
import contentNegotiation from '../plugins/content-negotiation.ts'
import cors from '../plugins/cors.ts'
import errors from '../plugins/errors.ts'
import gc from '../plugins/gc.ts'
import ociRouting from '../plugins/oci-routing.ts'
import readOnly from '../plugins/read-only.ts'
import registry from '../plugins/registry.ts'
import storagePlugin, { type Storage } from '../plugins/storage.ts'
import base from '../routes/base.ts'
import blobs from '../routes/blobs.ts'
import catalog from '../routes/catalog.ts'
import manifests from '../routes/manifests.ts'
import referrers from '../routes/referrers.ts'
import tags from '../routes/tags.ts'
import uploads from '../routes/uploads.ts'
import { type Config, defaults } from './config.ts'
import { createLinks } from './http/links.ts'

/** Settings of the plugin: those of the configuration that concern a registry, and where it keeps its bytes. */
export interface MarinaOptions
  extends Partial<
    Pick<
      Config,
      | 'deleteEnabled'
      | 'manifestMaxBytes'
      | 'manifestAllowSparse'
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
      | 'readOnly'
      | 'immutableTags'
      | 'corsOrigins'
    >
  > {
  /** A folder, a bucket, or a driver of your own. The plugin closes it with the app. */
  storage: Storage
  /** ms since 1970, for upload sessions; for tests. */
  now?: () => number
}

/**
 * The registry as a Fastify plugin: `app.register(marina, { prefix, storage })` serves the API under `<prefix>/v2/`.
 * It is encapsulated: parsers, hooks, decorators and error handlers stay inside, and an app may hold several.
 */
const marina: FastifyPluginAsync<MarinaOptions> = async (app, { storage, now, ...given }) => {
  const options = { ...defaults, ...given }
  await app.register(async v2 => registerApi(v2, options, storage, now), { prefix: '/v2' })
}

export default marina
export type { S3Storage } from '../plugins/storage.ts'
export { buildApp } from './app.ts'
export { type StorageDriver, StorageError } from './storage/driver.ts'

async function registerApi(
  app: FastifyInstance,
  options: Config,
  storage: MarinaOptions['storage'],
  now: MarinaOptions['now']
): Promise<void> {
  // An embedder may check requests in a way of their own, or not at all.
  app.setValidatorCompiler(TypeBoxValidatorCompiler)
  await app.register(errors)
  await app.register(storagePlugin, { storage, bufferMemoryBytes: options.bufferMemoryBytes })
  await app.register(registry, {
    graceMs: options.gcGraceMs,
    uploadExpiryMs: options.uploadExpiryMs,
    cacheBytes: options.cacheMemoryBytes,
    redirectExpiryMs: options.redirectExpiryMs,
    metadataTtlMs: options.metadataTtlMs,
    sparse: options.manifestAllowSparse,
    immutableTags: options.immutableTags,
    expires: !options.readOnly,
    ...(now && { now })
  })
  await app.register(gc, {
    intervalMs: options.readOnly ? 0 : options.gcIntervalMs,
    graceMs: options.gcGraceMs,
    uploadExpiryMs: options.uploadExpiryMs
  })
  if (options.corsOrigins.length > 0) await app.register(cors, { origins: options.corsOrigins })
  await app.register(ociRouting)
  await app.register(access, { access: options.access, readOnly: options.readOnly, now })
  if (options.auditLog ?? options.access !== undefined) await app.register(audit)
  if (options.readOnly) await app.register(readOnly)
  await app.register(contentNegotiation)

  const { externalUrl, deleteEnabled, readOnly: reading, manifestMaxBytes, tagsPageMax } = options
  const links = createLinks({ externalUrl, prefix: app.prefix })
  const routes = { links, deleteEnabled, readOnly: reading, manifestMaxBytes, tagsPageMax }
  await app.register(base)
  await app.register(blobs, routes)
  await app.register(uploads, routes)
  await app.register(manifests, routes)
  await app.register(tags, routes)
  await app.register(referrers, routes)
  await app.register(catalog, routes)
}
