import { type TSchema, Type } from '@sinclair/typebox'
import { Value, ValueErrorType } from '@sinclair/typebox/value'
import type { S3Storage } from '../plugins/storage.ts'
import type { AccessSettings } from './config/access.ts'
import type { LimitSettings } from './config/limits.ts'
import { editDistance } from './config/names.ts'
import type { OidcSettings } from './config/oidc.ts'
import type { S3Credentials } from './config/s3.ts'
import type { TokenSettings } from './config/tokens.ts'
import { defaults } from './config.ts'
import type { MarinaOptions } from './index.ts'

/** A schema whose description is what the sentence about a wrong value says is allowed. */
const text = Type.String({ minLength: 1, description: 'a text that is not empty' })
const yes = Type.Boolean({ description: 'true or false' })
const count = Type.Number({ minimum: 0, description: 'a number from 0 up' })
const texts = Type.Array(text, { description: 'a list of texts' })
const method = Type.Function([], Type.Unknown(), { description: 'a function' })
const object = Type.Object({}, { description: 'an object' })
const oneOf = (...words: string[]) =>
  Type.Union(
    words.map(word => Type.Literal(word)),
    { description: words.map(word => JSON.stringify(word)).join(' or ') }
  )
/** An object with the properties of `T` and no others; each may be left out. */
const closed = <T extends object>(properties: Record<keyof T, TSchema>) =>
  Type.Partial(Type.Object(properties), { additionalProperties: false, description: 'an object' })

const rate = Type.Object({ requests: count, perMs: count }, { description: '{ requests, perMs }' })
const quota = Type.Object({ pattern: text, bytes: count }, { description: '{ pattern, bytes }' })

const TOKENS = closed<TokenSettings>({
  issuer: text,
  realm: text,
  service: text,
  jwks: text,
  rootCertsFile: text,
  leewayMs: count,
  lifetimeMs: count,
  refreshLifetimeMs: count,
  byDefault: yes
})

const ACCESS = closed<AccessSettings>({
  htpasswdFile: text,
  policyFile: text,
  anonymous: oneOf('none', 'pull'),
  robots: yes,
  certificates: yes,
  tokens: TOKENS,
  oidc: closed<OidcSettings>({ file: text, leewayMs: count })
})

const S3 = closed<S3Storage>({
  bucket: text,
  region: text,
  prefix: text,
  endpoint: text,
  forcePathStyle: yes,
  caFile: text,
  insecureSkipVerify: yes,
  credentials: closed<S3Credentials>({ accessKeyId: text, secretAccessKey: text, sessionToken: text }),
  partSize: count,
  partGrowth: yes,
  sse: text,
  kmsKeyId: text,
  storageClass: text,
  maxSockets: count
})

const PLUGIN: Record<Exclude<keyof MarinaOptions, 'storage'>, TSchema> = {
  access: ACCESS,
  authorize: method,
  onEvent: method,
  health: yes,
  metrics: object,
  exposition: object,
  tracing: object,
  deleteEnabled: yes,
  readOnly: yes,
  immutableTags: texts,
  corsOrigins: texts,
  corsCredentials: yes,
  auditLog: yes,
  limits: closed<LimitSettings>({ perAddress: rate, perUser: rate, uploads: count, uploadSessions: count }),
  quotas: Type.Array(quota, { description: 'a list of { pattern, bytes }' }),
  externalUrl: text,
  manifestMaxBytes: count,
  manifestAllowSparse: oneOf('index', 'none', 'all'),
  manifestSizeCheck: oneOf('strict', 'warn'),
  manifestReferencesMax: count,
  tagsPageMax: count,
  uploadExpiryMs: count,
  gcGraceMs: count,
  gcIntervalMs: count,
  bufferMemoryBytes: count,
  cacheMemoryBytes: count,
  redirectExpiryMs: count,
  metadataTtlMs: count,
  now: method,
  steady: method
}

/** Settings of a server, which a whole configuration has beside those of the plugin, and what Fastify reads itself. */
const OTHERS = [
  ...[...Object.keys(defaults), 's3', 'otlp', 'tls'],
  ...['storage', 'prefix', 'logLevel', 'logSerializers', 'encapsulate', 'name']
]

const ALL = closed<Record<string, unknown>>({
  ...Object.fromEntries(OTHERS.map(name => [name, Type.Unknown()])),
  ...PLUGIN
})

/**
 * Throws a TypeError with a sentence for the developer where an option does not exist or has a value that can't be meant: a
 * mistyped `authorize` would leave the registry open.
 */
export function checkOptions(given: object): void {
  check(ALL, given, '')
  if ('storage' in given && isObject(given.storage) && isObject(given.storage.s3)) {
    check(S3, given.storage.s3, 'storage.s3.')
  }
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null

function check(schema: TSchema, given: object, before: string): void {
  // The first problem that is found: a developer sees the next one at the next start.
  const problem = Value.Errors(schema, given).First()
  if (!problem) return
  const { path, value, schema: wanted, type } = problem
  const name = before + path.slice(1).replaceAll('/', '.')
  if (type !== ValueErrorType.ObjectAdditionalProperties) {
    throw new TypeError(`the option ${name} is ${shown(value)}; allowed: ${wanted.description ?? 'an object'}`)
  }
  const own = name.slice(name.lastIndexOf('.') + 1)
  const names: string[] = Object.keys(wanted.properties)
  const nearest = names.sort((a, b) => editDistance(own, a) - editDistance(own, b))[0]!
  const hint = editDistance(own, nearest) <= 3 ? `did you mean ${nearest}?` : `allowed: ${names.sort().join(', ')}`
  throw new TypeError(`there is no option ${name}; ${hint}`)
}

/** What is not a word or a number is told by its kind: it may be large. */
function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 80))
  if (Array.isArray(value)) return 'a list'
  return typeof value === 'object' && value !== null ? 'an object' : String(value)
}
