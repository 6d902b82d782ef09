import { type AccessSettings, readAccess } from './config/access.ts'
import { type LimitSettings, readLimits } from './config/limits.ts'
import { type UnknownNames, unknownNames } from './config/names.ts'
import { createReader } from './config/reader.ts'
import { registryNames } from './config/registry-names.ts'
import { registryProblems } from './config/registry-report.ts'
import { readS3, type S3Settings } from './config/s3.ts'
import { ConfigSchema, s3VariableNames, variableNames } from './config/schema.ts'
import { fileNameOf } from './config/sources.ts'
import { readTlsSettings, type TlsSettings } from './config/tls.ts'
import { readTracing, type TracingSettings } from './config/tracing.ts'
import type { TrustProxy } from './config/values.ts'
import type { QuotaRule } from './registry/quota.ts'

/** The registry's settings. Sizes are bytes, times are milliseconds; docs/configuration.md says what each one does. */
export interface Config {
  port: number
  host: string
  storageDriver: 'filesystem' | 's3'
  storagePath: string
  /** There exactly when `storageDriver` is `s3`. */
  s3?: S3Settings
  /** How long a presigned URL is good that a blob's GET is redirected to; undefined: blobs are streamed. */
  redirectExpiryMs?: number
  /** How long readers may take it that keys which were seen in the bucket are still there. */
  metadataTtlMs?: number
  logLevel: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent'
  logFormat: 'auto' | 'json' | 'pretty'
  /** Which requests are logged. */
  logRequests: 'none' | 'errors' | 'all'
  deleteEnabled: boolean
  readOnly: boolean
  /** Patterns of tags: `v*`, or `team/**:v*` for those of some repositories. */
  immutableTags: string[]
  /** How much repositories may hold. */
  quotas: QuotaRule[]
  /** Origins of pages that may use the API; `*` is all. */
  corsOrigins: string[]
  manifestMaxBytes: number
  manifestAllowSparse: 'index' | 'none' | 'all'
  tagsPageMax: number
  uploadExpiryMs: number
  externalUrl?: string | undefined
  trustProxy: TrustProxy
  /** How long the headers of a request may take. */
  headersTimeoutMs: number
  /** How long nothing may come from, or be taken by, a client. */
  idleTimeoutMs: number
  shutdownTimeoutMs: number
  openapiEnabled: boolean
  gcGraceMs: number
  /** 0: nothing is collected. */
  gcIntervalMs: number
  bufferMemoryBytes: number
  cacheMemoryBytes: number
  /** Processes that serve. */
  workers: number
  /** A second port, for metrics and probes. */
  metricsPort?: number | undefined
  /** Whether metrics are served on the main port. */
  metricsEnabled: boolean
  /** Undefined: there are no traces. */
  otlp?: TracingSettings
  /** Undefined: everybody may do everything. */
  access?: AccessSettings
  /** Undefined: no client is limited. */
  limits?: LimitSettings
  /** Whether writes, denials and logins are logged apart. Undefined: with access control they are. */
  auditLog?: boolean | undefined
  /** Undefined: plain HTTP. */
  tls?: TlsSettings
}

/** The environment holds settings that can't be used. Each problem is one line: the variable, what was given, what is allowed. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly problems: readonly string[]
  constructor(problems: readonly string[]) {
    super(problems.join('\n'))
    this.problems = problems
  }
}

/** Reads every variable of the environment; throws one `ConfigError` that holds all problems. */
export function loadConfig(env: NodeJS.ProcessEnv): Config {
  const reader = createReader(env)
  const { read } = reader
  const config: Config = {
    port: read('PORT'),
    host: read('HOST'),
    storageDriver: read('STORAGE_DRIVER'),
    storagePath: read('STORAGE_PATH'),
    logLevel: read('LOG_LEVEL'),
    logFormat: read('LOG_FORMAT'),
    logRequests: read('LOG_REQUESTS'),
    deleteEnabled: read('DELETE_ENABLED'),
    readOnly: read('READ_ONLY'),
    immutableTags: read('IMMUTABLE_TAGS') ?? [],
    quotas: read('QUOTA_BYTES') ?? [],
    corsOrigins: read('CORS_ALLOW_ORIGIN') ?? [],
    manifestMaxBytes: read('MANIFEST_MAX_BYTES'),
    manifestAllowSparse: read('MANIFEST_ALLOW_SPARSE'),
    tagsPageMax: read('TAGS_PAGE_MAX'),
    uploadExpiryMs: read('UPLOAD_EXPIRY'),
    externalUrl: read('EXTERNAL_URL'),
    trustProxy: read('TRUST_PROXY'),
    headersTimeoutMs: read('HEADERS_TIMEOUT'),
    idleTimeoutMs: read('IDLE_TIMEOUT'),
    shutdownTimeoutMs: read('SHUTDOWN_TIMEOUT'),
    openapiEnabled: read('OPENAPI_ENABLED'),
    gcGraceMs: read('GC_GRACE'),
    gcIntervalMs: read('GC_INTERVAL'),
    bufferMemoryBytes: read('BUFFER_MEMORY'),
    cacheMemoryBytes: read('CACHE_MEMORY'),
    auditLog: read('AUDIT_LOG'),
    workers: read('WORKERS'),
    metricsPort: read('METRICS_PORT'),
    metricsEnabled: read('METRICS')
  }
  if (config.storageDriver === 's3') {
    config.s3 = readS3(reader)
    const expiry = read('S3_REDIRECT_EXPIRY')
    if (read('S3_REDIRECT')) config.redirectExpiryMs = expiry
    config.metadataTtlMs = read('S3_METADATA_TTL')
  }
  const otlp = readTracing(reader)
  if (otlp) config.otlp = otlp
  const access = readAccess(reader)
  if (access) config.access = access
  const limits = readLimits(reader)
  if (limits) config.limits = limits
  const tls = readTlsSettings(reader)
  if (tls) config.tls = tls
  const problems = [...lookForUnknownNames(env).problems, ...reader.problems, ...registryProblems(env, reader)]
  if (problems.length > 0) throw new ConfigError(problems)
  return config
}

/** Lines about variables that look like settings of the registry and have no effect. */
export function configWarnings(env: NodeJS.ProcessEnv): string[] {
  const { warnings } = lookForUnknownNames(env)
  const { read, sourceOf } = createReader(env)
  if (read('STORAGE_DRIVER') === 's3') return warnings
  // The names that are the AWS SDK's are often there for other programs.
  const set = s3VariableNames.map(name => sourceOf(name)?.name ?? '')
  const idle = set.filter(name => /^(S3_|REGISTRY_STORAGE_)/.test(name))
  if (idle.length > 0) warnings.push(`${idle.join(', ')}: no effect while STORAGE_DRIVER is "filesystem"`)
  return warnings
}

/** The settings of an empty environment: a base for embedders and tests. */
export const defaults: Readonly<Config> = Object.freeze(loadConfig({}))

function lookForUnknownNames(env: NodeJS.ProcessEnv): UnknownNames {
  const aliases = Object.values(ConfigSchema.properties).flatMap(variable => variable.alias ?? [])
  const files = variableNames.filter(name => ConfigSchema.properties[name].secret).map(fileNameOf)
  return unknownNames(env, [...variableNames, ...aliases, ...files, ...Object.keys(registryNames)])
}
