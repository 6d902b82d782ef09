import type { StorageDriver } from '../storage/driver.ts'
import { createBlobs, SMALL } from './blobs.ts'
import { createByteBudget } from './byte-budget.ts'
import { createObjectCache } from './cache.ts'
import type { RegistryLog } from './log.ts'
import type { StoredManifest } from './manifest-records.ts'
import type { SizeCheck, Sparse } from './manifest-references.ts'
import { createManifests } from './manifests.ts'
import { createOrphans } from './orphans.ts'
import { tagMatcherOf } from './patterns.ts'
import { createQuota, type QuotaRule } from './quota.ts'
import { createReferrers } from './referrers.ts'
import { createRepositories } from './repositories.ts'
import { createLook } from './seen.ts'
import { createTags } from './tags.ts'
import { createUploads } from './uploads.ts'

export interface RegistryOptions {
  storage: StorageDriver
  log: RegistryLog
  /** How long what nothing names is kept, in ms; half of it is how long a blob may be relied on. */
  graceMs: number
  /** How long an upload session may be idle, in ms. */
  uploadExpiryMs: number
  /** Memory for small immutable objects, in bytes. */
  cacheBytes: number
  /** Memory for lists of referrers that are being read, in bytes. Default 64 MiB. */
  bufferBytes?: number
  /** How long a URL of the store is good that a blob's reader is sent to, in ms; undefined: blobs are sent from here. */
  redirectExpiryMs?: number | undefined
  /** Which references of a manifest may be missing. */
  sparse: Sparse
  /** What becomes of a manifest with a descriptor whose size is not the stored one. Default `strict`. */
  sizeCheck?: SizeCheck
  /** Most blobs and manifests that one manifest may name. Default 5000. */
  referencesMax?: number
  /** Blobs up to this size, in bytes, are written whole and stored anew with every push. Default 64 KiB. */
  smallBytes?: number
  /** How long readers may take it that keys which were seen are still there, in ms. Default 0: never. */
  metadataTtlMs?: number | undefined
  /** Patterns of tags that never name another manifest than the first (src/registry/patterns.ts). Default: none. */
  immutableTags?: readonly string[]
  /** How much repositories may hold. Default: any amount. */
  quotas?: readonly QuotaRule[]
  /** The store takes keys that differ in case only for the same key. Default false. */
  ignoresCase?: boolean
  /** ms since 1970, for the names of sessions; tests turn it. */
  now?: () => number
  /** A clock in ms that nobody sets, for intervals; tests turn it. */
  steady?: () => number
}

/** The registry's rules over a store: everything between HTTP and the bytes. */
export function createRegistry(options: RegistryOptions) {
  const { storage, log, graceMs, cacheBytes, redirectExpiryMs, sparse, now, smallBytes = SMALL } = options
  const objects = createObjectCache<Buffer>(cacheBytes / 2)
  const records = createObjectCache<StoredManifest>(cacheBytes / 2)
  const look = createLook(storage, options.metadataTtlMs ?? 0)
  const repositories = createRepositories({ storage })
  const orphans = createOrphans({ storage, graceMs })
  const { quotas: rules = [], uploadExpiryMs: expiryMs, steady } = options
  const admission = rules.length > 0 ? createQuota({ storage, rules, log, expiryMs, steady }) : undefined
  const blobs = createBlobs({
    storage,
    admission,
    look,
    repositories,
    orphans,
    cache: objects,
    log,
    graceMs,
    redirectExpiryMs
  })
  const uploads = createUploads({ storage, blobs, admission, expiryMs, smallBytes, ...(now && { now }) })
  const tags = createTags({
    storage,
    repositories,
    ignoresCase: options.ignoresCase ?? false,
    immutable: tagMatcherOf(options.immutableTags ?? [])
  })
  const referrers = createReferrers({
    storage,
    cache: objects,
    budget: createByteBudget(options.bufferBytes ?? 64 * 1024 * 1024)
  })
  const manifests = createManifests({
    storage,
    look,
    blobs,
    tags,
    referrers,
    repositories,
    cache: records,
    graceMs,
    sparse,
    sizeCheck: options.sizeCheck ?? 'strict',
    referencesMax: options.referencesMax ?? 5000,
    admission
  })
  const caches = { objects: objects.counts, manifests: records.counts }
  return { blobs, uploads, manifests, tags, referrers, repositories, caches }
}

export type Registry = ReturnType<typeof createRegistry>
