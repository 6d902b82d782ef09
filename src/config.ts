import { Value } from '@sinclair/typebox/value'
import { type UnknownNames, unknownNames } from './config/names.ts'
import { ConfigSchema, type VariableName, type VariableValue, variableNames } from './config/schema.ts'
import type { TrustProxy } from './config/values.ts'

/** The registry's settings. Sizes are bytes, times are milliseconds; docs/configuration.md says what each one does. */
export interface Config {
  port: number
  host: string
  storageDriver: 'filesystem' | 's3'
  storagePath: string
  logLevel: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent'
  logFormat: 'auto' | 'json' | 'pretty'
  deleteEnabled: boolean
  manifestMaxBytes: number
  manifestAllowSparse: 'index' | 'none' | 'all'
  tagsPageMax: number
  uploadExpiryMs: number
  externalUrl?: string | undefined
  trustProxy: TrustProxy
  shutdownTimeoutMs: number
  openapiEnabled: boolean
  gcGraceMs: number
  bufferMemoryBytes: number
  cacheMemoryBytes: number
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
  const problems = lookForUnknownNames(env).problems
  const read = <N extends VariableName>(name: N) => readVariable(env, name, problems)
  const config: Config = {
    port: read('PORT'),
    host: read('HOST'),
    storageDriver: read('STORAGE_DRIVER'),
    storagePath: read('STORAGE_PATH'),
    logLevel: read('LOG_LEVEL'),
    logFormat: read('LOG_FORMAT'),
    deleteEnabled: read('DELETE_ENABLED'),
    manifestMaxBytes: read('MANIFEST_MAX_BYTES'),
    manifestAllowSparse: read('MANIFEST_ALLOW_SPARSE'),
    tagsPageMax: read('TAGS_PAGE_MAX'),
    uploadExpiryMs: read('UPLOAD_EXPIRY'),
    externalUrl: read('EXTERNAL_URL') || undefined,
    trustProxy: read('TRUST_PROXY'),
    shutdownTimeoutMs: read('SHUTDOWN_TIMEOUT'),
    openapiEnabled: read('OPENAPI_ENABLED'),
    gcGraceMs: read('GC_GRACE'),
    bufferMemoryBytes: read('BUFFER_MEMORY'),
    cacheMemoryBytes: read('CACHE_MEMORY')
  }
  if (config.storageDriver === 's3') {
    problems.push('STORAGE_DRIVER is "s3", but this version has no S3 storage yet; allowed: `filesystem`')
  }
  if (problems.length > 0) throw new ConfigError(problems)
  return config
}

/** Lines about variables that look like settings of the registry and have no effect. */
export function configWarnings(env: NodeJS.ProcessEnv): string[] {
  return lookForUnknownNames(env).warnings
}

/** The settings of an empty environment: a base for embedders and tests. */
export const defaults: Readonly<Config> = Object.freeze(loadConfig({}))

/** The variable's value; a problem is noted and the default given instead, so that the reading can go on. */
function readVariable<N extends VariableName>(env: NodeJS.ProcessEnv, name: N, problems: string[]): VariableValue<N> {
  const variable = ConfigSchema.properties[name]
  const alias: string | undefined = variable.alias
  // Text that is empty counts as not set: that is how a compose file or a chart leaves something out.
  const [given, other] = [name, alias].map(key => (key === undefined ? '' : (env[key]?.trim() ?? '')))
  if (given && other && given !== other) {
    problems.push(`${name} is ${quote(given)} and ${alias} is ${quote(other)}; allowed: one of them, or both the same`)
  }
  const text = given || other || variable.default
  try {
    return Value.Decode(variable, text)
  } catch {
    problems.push(`${given ? name : alias} is ${quote(text)}; allowed: ${variable.allowed}`)
    return Value.Decode(variable, variable.default)
  }
}

/** Problems end up in logs, where a password in a URL has no place. */
function quote(text: string): string {
  return JSON.stringify(text.replace(/\/\/[^/@]*@/, '//…@'))
}

function lookForUnknownNames(env: NodeJS.ProcessEnv): UnknownNames {
  const aliases = Object.values(ConfigSchema.properties).flatMap(variable => variable.alias ?? [])
  return unknownNames(env, [...variableNames, ...aliases])
}
