import { type AccessSettings, auditVariables, readAccess } from './config/access.ts'
import { generalVariables } from './config/general.ts'
import { type LimitSettings, quotaVariables, readLimits } from './config/limits.ts'
import { metricsVariables } from './config/metrics.ts'
import { unknownNames } from './config/names.ts'
import { createReader, type Reader } from './config/reader.ts'
import { registryEnvironment } from './config/registry-maps.ts'
import { registryProblems } from './config/registry-report.ts'
import { readS3, type S3StorageSettings } from './config/s3.ts'
import { s3VariableNames } from './config/schema.ts'
import { readTlsSettings, type TlsSettings } from './config/tls.ts'
import { readTracing, type TracingSettings } from './config/tracing.ts'
import type { Settings } from './config/values.ts'

/** The variables whose settings are properties of the whole configuration. */
const topLevel = { ...generalVariables, ...quotaVariables, ...auditVariables, ...metricsVariables }

/**
 * The registry's settings. Sizes are bytes, times are milliseconds; docs/configuration.md says what each one does. Those
 * of S3 exist exactly when `storageDriver` is `s3`.
 */
export interface Config extends Settings<typeof topLevel>, Partial<S3StorageSettings> {
  /** Undefined: there are no traces. */
  otlp?: TracingSettings
  /** Undefined: everybody may do everything. */
  access?: AccessSettings
  /** Undefined: no client is limited. */
  limits?: LimitSettings
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
export function loadConfig(environment: NodeJS.ProcessEnv): Config {
  const env = registryEnvironment(environment)
  const reader = createReader(env)
  const config: Config = reader.settings(topLevel)
  if (config.storageDriver === 's3') Object.assign(config, readS3(reader))
  const otlp = readTracing(reader)
  if (otlp) config.otlp = otlp
  const access = readAccess(reader)
  if (access) config.access = access
  const limits = readLimits(reader)
  if (limits) config.limits = limits
  const tls = readTlsSettings(reader)
  if (tls) config.tls = tls
  if (config.corsCredentials && config.corsOrigins?.includes('*')) {
    reader.problems.push(
      'CORS_ALLOW_CREDENTIALS is "true" and CORS_ALLOW_ORIGIN is "*"; allowed: the origins of the pages that you trust, as any other page could use the logins of its visitors'
    )
  }
  const problems = [
    ...unknownNames(env, strangers(reader)).problems,
    ...reader.problems,
    ...registryProblems(env, reader)
  ]
  if (problems.length > 0) throw new ConfigError(problems)
  return config
}

/** Lines about variables that look like settings of the registry and have no effect. */
export function configWarnings(environment: NodeJS.ProcessEnv): string[] {
  const env = registryEnvironment(environment)
  const reader = createReader(env)
  const { read, sourceOf } = reader
  const { warnings } = unknownNames(env, strangers(reader))
  if (read('STORAGE_DRIVER') === 's3') return warnings
  // The names that are the AWS SDK's are often there for other programs.
  const set = s3VariableNames.map(name => sourceOf(name)?.name ?? '')
  const idle = set.filter(name => /^(S3_|REGISTRY_STORAGE_)/.test(name))
  if (idle.length > 0) warnings.push(`${idle.join(', ')}: no effect while STORAGE_DRIVER is "filesystem"`)
  return warnings
}

/** The settings of an empty environment: a base for embedders and tests. */
export const defaults: Readonly<Config> = Object.freeze(loadConfig({}))

/** Names of other programs that look like ours. */
function strangers({ read }: Reader): readonly string[] {
  return read('ALLOW_UNKNOWN_VARIABLES')
}
