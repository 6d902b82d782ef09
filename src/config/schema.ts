import { type StaticDecode, Type } from '@sinclair/typebox'
import { accessVariables } from './access-variables.ts'
import { limitVariables } from './limit-variables.ts'
import { observeVariables } from './observe-variables.ts'
import { s3Variables } from './s3-variables.ts'
import { tlsVariables } from './tls-variables.ts'
import {
  baseUrl,
  boolean,
  choice,
  duration,
  host,
  list,
  optional,
  size,
  text,
  trustProxy,
  wholeNumber,
  workers
} from './values.ts'

/**
 * Every environment variable the registry reads: how its text is read, its default and what it does.
 * The tables in docs/configuration.md are made from this and checked against it.
 */
export const ConfigSchema = Type.Object({
  PORT: wholeNumber({ default: '5000', description: 'TCP port to listen on; `0` takes any free one.' }, 0, 65535),
  HOST: host({
    default: '::',
    description:
      'Address to listen on; `::` is every interface with IPv6 and IPv4 (IPv4 alone where IPv6 is off), `localhost` is 127.0.0.1.'
  }),
  STORAGE_DRIVER: choice(
    {
      default: 'filesystem',
      alias: 'STORAGE_TYPE',
      description: 'Where content is kept: in a folder, or in an S3 bucket.'
    },
    ['filesystem', 's3']
  ),
  STORAGE_PATH: text(
    { default: './registry-data', description: 'Folder of the `filesystem` driver; it is made if it is missing.' },
    'a folder that this process may write'
  ),
  LOG_LEVEL: choice({ default: 'info', description: 'The least severe messages that are logged.' }, [
    'trace',
    'debug',
    'info',
    'warn',
    'error',
    'fatal',
    'silent'
  ]),
  LOG_FORMAT: choice(
    {
      default: 'auto',
      description: 'One JSON object a line, or lines for people; `auto` is pretty on a terminal only.'
    },
    ['auto', 'json', 'pretty']
  ),
  LOG_REQUESTS: choice(
    {
      default: 'all',
      description:
        'Which requests are logged, each in one line at level `info` when it is over: all, errors (status 400 and above, except those that every push causes), or none.'
    },
    ['none', 'errors', 'all']
  ),
  DELETE_ENABLED: boolean({ default: 'true', description: 'Whether manifests, tags and blobs may be deleted.' }),
  READ_ONLY: boolean({
    default: 'false',
    description: 'Whether everything that would change the registry is refused; nothing is collected then either.'
  }),
  IMMUTABLE_TAGS: optional(
    list(
      {
        default: '',
        description:
          'Tags that never name another manifest than the first: `v*`, or `team/**:v*` for those of some repositories.'
      },
      'patterns of tags joined by commas, each with a pattern of repositories and `:` before it if wanted',
      /^(?:[a-z0-9*](?:[a-z0-9._/*-]*[a-z0-9*])?:)?[\w*][\w.*-]*$/
    )
  ),
  CORS_ALLOW_ORIGIN: optional(
    list(
      { default: '', description: 'Origins of web pages whose scripts may use the API; `*` is all.' },
      '`*`, or origins such as `https://ui.example.com` joined by commas',
      /^(?:\*|https?:\/\/[^/?#@\s]+)$/
    )
  ),
  MANIFEST_MAX_BYTES: size(
    { default: '4MiB', description: 'Largest manifest that may be pushed; a larger one is answered with 413.' },
    '64KiB',
    '64MiB'
  ),
  MANIFEST_ALLOW_SPARSE: choice(
    {
      default: 'index',
      description:
        'What a manifest may name though it is not here: entries of an index (`index`), nothing (`none`), or layers and configs too (`all`).'
    },
    ['index', 'none', 'all']
  ),
  TAGS_PAGE_MAX: wholeNumber(
    { default: '1000', description: 'Most entries in one page of tags or of the catalog; a larger `n` is cut to it.' },
    1,
    100_000
  ),
  UPLOAD_EXPIRY: duration(
    { default: '7d', description: 'How long an upload may lie idle before it is dropped with its bytes.' },
    '1m',
    '365d'
  ),
  EXTERNAL_URL: optional(
    baseUrl({
      default: '',
      description:
        'The URL under which clients reach the registry; set, `Location` headers are absolute, else relative.'
    })
  ),
  TRUST_PROXY: trustProxy({
    default: 'false',
    description: 'Whose `X-Forwarded-*` headers count; `true` believes every client, so name your proxies instead.'
  }),
  HEADERS_TIMEOUT: duration(
    {
      default: '60s',
      description: 'How long the headers of a request may take; then it is answered with 408 and the connection ends.'
    },
    '1s',
    '1h'
  ),
  IDLE_TIMEOUT: duration(
    {
      default: '2m',
      description:
        'How long a client may send no byte of a body (then 408), or take none of an answer. How slowly it goes does not count.'
    },
    '1s',
    '1d'
  ),
  SHUTDOWN_TIMEOUT: duration(
    { default: '30s', description: 'How long requests in flight may take to finish after SIGTERM or SIGINT.' },
    '0s',
    '1d'
  ),
  OPENAPI_ENABLED: boolean({
    default: 'true',
    description: 'Whether the API description is served at `/openapi.json`.'
  }),
  // The least is enforced here alone: the collector's proofs hold for any grace, but a push takes a while.
  GC_GRACE: duration(
    {
      default: '24h',
      description:
        'How long something unused is kept before collection may take it; half of it is how long a blob seen by HEAD can be relied upon. The same for all processes on a store.'
    },
    '1h',
    '365d'
  ),
  GC_INTERVAL: duration(
    {
      default: '24h',
      description: 'How often what nothing needs is collected, while serving; `0`: this process does not.'
    },
    '0s',
    '365d'
  ),
  BUFFER_MEMORY: size(
    { default: '64MiB', description: 'Memory for the buffers of all uploads and downloads together.' },
    '8MiB',
    '64GiB'
  ),
  WORKERS: workers({
    default: '1',
    description:
      'Processes that serve; `auto` is one a processor, 4 at most. They share BUFFER_MEMORY and CACHE_MEMORY (docs/operations.md).'
  }),
  CACHE_MEMORY: size(
    { default: '64MiB', description: 'Memory for small immutable objects, such as manifests, that were read lately.' },
    '1MiB',
    '64GiB'
  ),
  ...observeVariables,
  ...accessVariables,
  ...limitVariables,
  ...tlsVariables,
  ...s3Variables
})

export type Variables = (typeof ConfigSchema)['properties']
export type VariableName = keyof Variables
/** What a variable's text is read to. */
export type VariableValue<N extends VariableName> =
  | StaticDecode<Variables[N]>
  | (Variables[N] extends { optional: true } ? undefined : never)

export const variableNames = Object.keys(ConfigSchema.properties) as VariableName[]
export const accessVariableNames = Object.keys(accessVariables) as (keyof typeof accessVariables)[]
export const observeVariableNames = Object.keys(observeVariables) as (keyof typeof observeVariables)[]
export const limitVariableNames = Object.keys(limitVariables) as (keyof typeof limitVariables)[]
export const tlsVariableNames = Object.keys(tlsVariables) as (keyof typeof tlsVariables)[]
/** Those that are read with `STORAGE_DRIVER=s3` alone. */
export const s3VariableNames = Object.keys(s3Variables) as (keyof typeof s3Variables)[]

/** A table of docs/configuration.md, in Markdown: one row a variable. */
export function configurationTable(names: readonly VariableName[]): string {
  const rows = names.map(name => {
    const variable = ConfigSchema.properties[name]
    const others = variable.fallbacks ?? (variable.alias === undefined ? [] : [variable.alias])
    const also = others.length === 0 ? '' : ` (or ${others.map(other => `\`${other}\``).join(', ')})`
    const preset = variable.default === '' ? (variable.unset ?? 'not set') : `\`${variable.default}\``
    return `| \`${name}\`${also} | ${preset} | ${variable.allowed} | ${variable.description} |`
  })
  return ['| Variable | Default | Allowed | What it does |', '|---|---|---|---|', ...rows].join('\n')
}

/** The variables for `--help`: name and default, one a line. */
export function variablesText(): string {
  return Object.entries(ConfigSchema.properties)
    .map(([name, variable]) => `  ${name.padEnd(24)} ${variable.default || 'not set'}`)
    .join('\n')
}
