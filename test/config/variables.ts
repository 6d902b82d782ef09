import type { VariableName } from '../../src/config/schema.ts'

/** What test/config.test.ts tries with a variable. A new variable needs an entry here: the type check asks for it. */
export interface Check {
  /** Text that it takes and that changes the configuration. */
  allowed: string
  /** Text that stops the start; undefined: any text is allowed. */
  refused?: string
  /** What else has to be set so that it counts. */
  with?: NodeJS.ProcessEnv
  /** The test of what it does, below `test/`. */
  effect: string
  /** What stands for the variable in that test; by default its name or its setting. */
  as?: string
}

/** Files that variables may name. */
export interface Files {
  htpasswd: string
  policy: string
  issuers: string
  jwks: string
  certificate: string
  key: string
  authority: string
  /** Its text is of no form that any variable takes. */
  nonsense: string
}

const S3 = { STORAGE_DRIVER: 's3', S3_BUCKET: 'registry', S3_REGION: 'eu-central-1' }
const COLLECTOR = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318' }
const PROVIDER = { AUTH_TOKEN_ISSUER: 'acme', AUTH_TOKEN_REALM: 'https://acme/token', AUTH_TOKEN_SERVICE: 'registry' }
const SELF = { AUTH_TOKEN_ISSUER: 'self' }
const KEY = { AWS_ACCESS_KEY_ID: 'id', AWS_SECRET_ACCESS_KEY: 'secret' }

const without = (env: NodeJS.ProcessEnv, name: string): NodeJS.ProcessEnv =>
  Object.fromEntries(Object.entries(env).filter(([other]) => other !== name))

export function checks(files: Files): Record<VariableName, Check> {
  const tokens = { ...PROVIDER, AUTH_TOKEN_JWKS: files.jwks }
  const tls = { TLS_CERT_FILE: files.certificate, TLS_KEY_FILE: files.key }
  return {
    PORT: { allowed: '8080', refused: '65536', effect: 'server.test.ts' },
    HOST: { allowed: '127.0.0.1', refused: 'localhost:5000', effect: 'server.test.ts' },
    STORAGE_DRIVER: { allowed: 's3', refused: 'gcs', with: without(S3, 'STORAGE_DRIVER'), effect: 'server.test.ts' },
    STORAGE_PATH: { allowed: '/srv/registry', effect: 'server.test.ts' },
    LOG_LEVEL: { allowed: 'debug', refused: 'verbose', effect: 'server.test.ts' },
    LOG_FORMAT: { allowed: 'json', refused: 'text', effect: 'server.test.ts' },
    LOG_REQUESTS: { allowed: 'errors', refused: 'some', effect: 'logger.test.ts' },
    DELETE_ENABLED: { allowed: 'false', refused: 'maybe', effect: 'routes/blobs.test.ts' },
    READ_ONLY: { allowed: 'true', refused: '2', effect: 'routes/read-only.test.ts' },
    IMMUTABLE_TAGS: { allowed: 'v*', refused: 'v*,', effect: 'routes/immutable-tags.test.ts' },
    CORS_ALLOW_ORIGIN: { allowed: 'https://a.example', refused: 'a.example', effect: 'plugins/cors.test.ts' },
    CORS_ALLOW_CREDENTIALS: { allowed: 'true', refused: '*', effect: 'plugins/cors.test.ts' },
    MANIFEST_MAX_BYTES: { allowed: '1MiB', refused: '4MB', effect: 'routes/manifests.test.ts' },
    MANIFEST_ALLOW_SPARSE: { allowed: 'all', refused: 'true', effect: 'routes/manifest-references.test.ts' },
    MANIFEST_SIZE_CHECK: { allowed: 'warn', refused: 'off', effect: 'routes/manifest-references.test.ts' },
    MANIFEST_REFERENCES_MAX: { allowed: '100', refused: '99', effect: 'routes/manifest-references.test.ts' },
    TAGS_PAGE_MAX: { allowed: '50', refused: '0', effect: 'routes/lists.test.ts' },
    UPLOAD_EXPIRY: { allowed: '1h', refused: '1s', effect: 'plugins/gc.test.ts' },
    EXTERNAL_URL: { allowed: 'https://a.example', refused: 'a.example', effect: 'routes/locations.test.ts' },
    TRUST_PROXY: { allowed: '10.0.0.0/8', refused: '1', effect: 'routes/locations.test.ts' },
    HEADERS_TIMEOUT: { allowed: '5s', refused: '5', effect: 'faults/clients.ts' },
    IDLE_TIMEOUT: { allowed: '5s', refused: '0', effect: 'http/idle.test.ts' },
    KEEP_ALIVE_TIMEOUT: { allowed: '4000s', refused: '0', effect: 'plugins/connections.test.ts' },
    MAX_HEADER_BYTES: { allowed: '16KiB', refused: '2MiB', effect: 'plugins/connections.test.ts' },
    MAX_CONNECTIONS: { allowed: '500', refused: '0', effect: 'plugins/connections.test.ts' },
    SHUTDOWN_TIMEOUT: { allowed: '0', refused: '2d', effect: 'server.test.ts' },
    OPENAPI_ENABLED: { allowed: 'false', refused: '2', effect: 'routes/described.test.ts' },
    GC_GRACE: { allowed: '2h', refused: '59m', effect: 'plugins/gc.test.ts' },
    GC_INTERVAL: { allowed: '0', refused: 'off', effect: 'plugins/gc.test.ts' },
    BUFFER_MEMORY: { allowed: '8MiB', refused: '1MiB', effect: 'storage/filesystem.test.ts', as: 'createBuffers' },
    WORKERS: { allowed: '2', refused: '0', effect: 'workers.test.ts' },
    WORKER_TIMEOUT: { allowed: '2m', refused: '2h', effect: 'workers.test.ts' },
    CACHE_MEMORY: { allowed: '1MiB', refused: '0', effect: 'registry/keys.test.ts', as: 'createObjectCache' },
    ALLOW_UNKNOWN_VARIABLES: {
      allowed: 'AUTH_USERS',
      refused: 'a b',
      with: { AUTH_USERS: 'alice' },
      effect: 'config.test.ts'
    },
    METRICS_PORT: { allowed: '9100', refused: '65536', effect: 'server.test.ts' },
    METRICS_HOST: { allowed: '127.0.0.1', refused: 'a:1', effect: 'server.test.ts' },
    METRICS: { allowed: 'true', refused: 'some', effect: 'plugins/metrics.test.ts' },
    OTEL_EXPORTER_OTLP_ENDPOINT: {
      allowed: 'http://collector:4318',
      refused: 'collector:4318',
      effect: 'plugins/tracing.test.ts',
      as: 'otlp'
    },
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: {
      allowed: 'http://collector:4318/traces',
      refused: 'collector',
      with: COLLECTOR,
      effect: 'plugins/tracing.test.ts',
      as: 'otlp'
    },
    OTEL_TRACES_EXPORTER: {
      allowed: 'none',
      refused: 'zipkin',
      with: COLLECTOR,
      effect: 'config.test.ts'
    },
    OTEL_SDK_DISABLED: { allowed: 'true', refused: 'some', with: COLLECTOR, effect: 'config.test.ts' },
    OTEL_SERVICE_NAME: {
      allowed: 'registry',
      with: COLLECTOR,
      effect: 'plugins/tracing.test.ts',
      as: 'serviceName'
    },
    AUTH_HTPASSWD_FILE: {
      allowed: files.htpasswd,
      refused: files.nonsense,
      effect: 'access/basic.test.ts',
      as: 'htpasswdFile'
    },
    AUTH_POLICY_FILE: {
      allowed: files.policy,
      refused: files.nonsense,
      effect: 'access/matrix.test.ts',
      as: 'policyFile'
    },
    AUTH_ANONYMOUS: { allowed: 'pull', refused: 'push', effect: 'access/basic.test.ts' },
    AUTH_ROBOT_TOKENS: { allowed: 'true', refused: 'some', effect: 'access/robots.test.ts' },
    AUDIT_LOG: { allowed: 'true', refused: 'some', effect: 'access/audit.test.ts' },
    AUTH_TOKEN_ISSUER: { allowed: 'self', refused: '\u0001', effect: 'access/tokens.test.ts', as: 'issuer' },
    AUTH_TOKEN_REALM: {
      allowed: 'https://other/token',
      refused: 'other',
      with: without(tokens, 'AUTH_TOKEN_REALM'),
      effect: 'access/tokens.test.ts',
      as: 'realm'
    },
    AUTH_TOKEN_SERVICE: {
      allowed: 'other',
      refused: 'two words',
      with: without(tokens, 'AUTH_TOKEN_SERVICE'),
      effect: 'access/tokens.test.ts',
      as: 'service'
    },
    AUTH_TOKEN_JWKS: {
      allowed: files.jwks,
      refused: files.nonsense,
      with: PROVIDER,
      effect: 'access/tokens.test.ts',
      as: 'jwks'
    },
    AUTH_TOKEN_ROOTCERTS: {
      allowed: files.authority,
      refused: files.nonsense,
      with: PROVIDER,
      effect: 'access/token-attacks.test.ts',
      as: 'rootCertsFile'
    },
    AUTH_TOKEN_LEEWAY: {
      allowed: '10s',
      refused: '1h',
      with: SELF,
      effect: 'access/own-tokens.test.ts',
      as: 'leewayMs'
    },
    AUTH_TOKEN_LIFETIME: {
      allowed: '1h',
      refused: '1s',
      with: SELF,
      effect: 'access/own-tokens.test.ts',
      as: 'lifetimeMs'
    },
    AUTH_TOKEN_REFRESH_LIFETIME: {
      allowed: '30d',
      refused: '1y',
      with: SELF,
      effect: 'access/own-tokens.test.ts',
      as: 'refreshLifetimeMs'
    },
    AUTH_OIDC_FILE: {
      allowed: files.issuers,
      refused: files.nonsense,
      with: { AUTH_POLICY_FILE: files.policy },
      effect: 'access/oidc.test.ts'
    },
    RATE_LIMIT_PER_ADDRESS: { allowed: '600/1m', refused: '600', effect: 'access/limits.test.ts' },
    RATE_LIMIT_PER_USER: { allowed: '600/1m', refused: '600/60', effect: 'access/limits.test.ts' },
    UPLOADS_PER_USER: { allowed: '5', refused: '-1', effect: 'access/limits.test.ts' },
    UPLOAD_SESSIONS_PER_USER: { allowed: '5', refused: '5.5', effect: 'access/limits.test.ts' },
    QUOTA_BYTES: { allowed: '**=1TiB', refused: '1TiB', effect: 'registry/quota.test.ts' },
    TLS_CERT_FILE: {
      allowed: files.certificate,
      refused: files.nonsense,
      with: without(tls, 'TLS_CERT_FILE'),
      effect: 'access/tls.test.ts',
      as: 'certFile'
    },
    TLS_KEY_FILE: {
      allowed: files.key,
      refused: files.nonsense,
      with: without(tls, 'TLS_KEY_FILE'),
      effect: 'access/tls.test.ts',
      as: 'keyFile'
    },
    TLS_CLIENT_CA_FILE: {
      allowed: files.authority,
      refused: files.nonsense,
      with: tls,
      effect: 'access/tls.test.ts',
      as: 'clientCaFile'
    },
    S3_BUCKET: {
      allowed: 'images',
      refused: 's3://images',
      with: without(S3, 'S3_BUCKET'),
      effect: 'storage/s3.test.ts',
      as: 'bucket'
    },
    S3_REGION: {
      allowed: 'us-east-2',
      refused: 'us east',
      with: without(S3, 'S3_REGION'),
      effect: 'storage/s3.test.ts',
      as: 'region'
    },
    S3_ENDPOINT: {
      allowed: 'http://minio:9000',
      refused: 'minio:9000',
      with: S3,
      effect: 'storage/s3.test.ts'
    },
    S3_PREFIX: { allowed: 'team', refused: '/team', with: S3, effect: 's3/driver.test.ts', as: 'prefix' },
    S3_FORCE_PATH_STYLE: { allowed: 'true', refused: 'some', with: S3, effect: 'support/s3.ts', as: 'forcePathStyle' },
    S3_CA_FILE: { allowed: files.authority, refused: files.nonsense, with: S3, effect: 's3/driver.test.ts' },
    S3_INSECURE_SKIP_VERIFY: { allowed: 'true', refused: 'some', with: S3, effect: 's3/driver.test.ts' },
    AWS_ACCESS_KEY_ID: {
      allowed: 'other',
      refused: 'two words',
      with: { ...S3, ...without(KEY, 'AWS_ACCESS_KEY_ID') },
      effect: 's3/driver.test.ts'
    },
    AWS_SECRET_ACCESS_KEY: {
      allowed: 'other',
      refused: 'two words',
      with: { ...S3, ...without(KEY, 'AWS_SECRET_ACCESS_KEY') },
      effect: 's3/driver.test.ts'
    },
    AWS_SESSION_TOKEN: {
      allowed: 'token',
      refused: 'two words',
      with: { ...S3, ...KEY },
      effect: 'storage/s3.test.ts'
    },
    S3_REDIRECT: {
      allowed: 'true',
      refused: 'some',
      with: S3,
      effect: 'routes/redirect.test.ts',
      as: 'redirectExpiryMs'
    },
    S3_REDIRECT_EXPIRY: {
      allowed: '1h',
      refused: '8d',
      with: { ...S3, S3_REDIRECT: 'true' },
      effect: 'routes/redirect.test.ts',
      as: 'redirectExpiryMs'
    },
    S3_PART_SIZE: { allowed: '16MiB', refused: '4MiB', with: S3, effect: 's3/uploads.test.ts' },
    S3_PART_GROWTH: { allowed: 'false', refused: 'some', with: S3, effect: 's3/uploads.test.ts' },
    S3_SSE: { allowed: 'AES256', refused: 'kms', with: S3, effect: 'storage/s3.test.ts' },
    S3_KMS_KEY_ID: {
      allowed: 'alias/registry',
      refused: 'a key',
      with: { ...S3, S3_SSE: 'aws:kms' },
      effect: 'storage/s3.test.ts'
    },
    S3_STORAGE_CLASS: { allowed: 'GLACIER_IR', refused: 'GLACIER', with: S3, effect: 'storage/s3.test.ts' },
    S3_MAX_SOCKETS: { allowed: '64', refused: '1', with: S3, effect: 's3/driver.test.ts' },
    S3_METADATA_TTL: {
      allowed: '30s',
      refused: '2h',
      with: S3,
      effect: 'registry/relying.test.ts',
      as: 'metadataTtlMs'
    }
  }
}
