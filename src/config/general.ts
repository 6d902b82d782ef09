import {
  baseUrl,
  boolean,
  choice,
  duration,
  host,
  list,
  optional,
  type Settings,
  size,
  text,
  trustProxy,
  wholeNumber,
  workers
} from './values.ts'

/** The variables of serving, storage, logging and collection. */
export const generalVariables = {
  PORT: wholeNumber(
    { setting: 'port', default: '5000', description: 'TCP port to listen on; `0` takes any free one.' },
    0,
    65535
  ),
  HOST: host({
    setting: 'host',
    default: '::',
    description:
      'Address to listen on; `::` is every interface with IPv6 and IPv4 (IPv4 alone where IPv6 is off), `localhost` is 127.0.0.1.'
  }),
  STORAGE_DRIVER: choice(
    {
      setting: 'storageDriver',
      default: 'filesystem',
      alias: 'STORAGE_TYPE',
      description: 'Where content is kept: in a folder, or in an S3 bucket.'
    },
    ['filesystem', 's3']
  ),
  STORAGE_PATH: text(
    {
      setting: 'storagePath',
      default: './registry-data',
      description: 'Folder of the `filesystem` driver; it is made if it is missing.'
    },
    'a folder that this process may write'
  ),
  LOG_LEVEL: choice(
    { setting: 'logLevel', default: 'info', description: 'The least severe messages that are logged.' },
    ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']
  ),
  LOG_FORMAT: choice(
    {
      setting: 'logFormat',
      default: 'auto',
      description: 'One JSON object a line, or lines for people; `auto` is pretty on a terminal only.'
    },
    ['auto', 'json', 'pretty']
  ),
  LOG_REQUESTS: choice(
    {
      setting: 'logRequests',
      default: 'all',
      description:
        'Which requests are logged, each in one line at level `info` when it is over: all, errors (status 400 and above, except those that every push causes), or none.'
    },
    ['none', 'errors', 'all']
  ),
  DELETE_ENABLED: boolean({
    setting: 'deleteEnabled',
    default: 'true',
    description:
      'Whether manifests, tags and blobs may be deleted; `false` also binds `repository delete` and `gc --untagged` (`--force`).'
  }),
  READ_ONLY: boolean({
    setting: 'readOnly',
    default: 'false',
    description:
      'Whether everything that would change the registry is refused, commands too (`--force`); nothing is collected then, and a folder may be a read-only mount.'
  }),
  IMMUTABLE_TAGS: list(
    {
      setting: 'immutableTags',
      default: '',
      description:
        'Tags that never name another manifest than the first: `v*`, or `team/**:v*` for those of some repositories.'
    },
    'patterns of tags joined by commas, each with a pattern of repositories and `:` before it if wanted',
    /^(?:[a-z0-9*](?:[a-z0-9._/*-]*[a-z0-9*])?:)?[\w*][\w.*-]*$/
  ),
  CORS_ALLOW_ORIGIN: list(
    {
      setting: 'corsOrigins',
      default: '',
      description: 'Origins of web pages whose scripts may use the API; `*` is all.'
    },
    '`*`, or origins such as `https://ui.example.com` joined by commas',
    /^(?:\*|https?:\/\/[^/?#@\s]+)$/
  ),
  CORS_ALLOW_CREDENTIALS: boolean({
    setting: 'corsCredentials',
    default: 'false',
    description:
      'Whether scripts of those pages may send logins that the browser keeps, as most registry UIs do; not with the origin `*`.'
  }),
  MANIFEST_MAX_BYTES: size(
    {
      setting: 'manifestMaxBytes',
      default: '4MiB',
      description: 'Largest manifest that may be pushed; a larger one is answered with 413.'
    },
    '64KiB',
    '64MiB'
  ),
  MANIFEST_ALLOW_SPARSE: choice(
    {
      setting: 'manifestAllowSparse',
      default: 'index',
      description:
        'What a manifest may name though it is not here: entries of an index (`index`), nothing (`none`), or layers and configs too (`all`).'
    },
    ['index', 'none', 'all']
  ),
  MANIFEST_SIZE_CHECK: choice(
    {
      setting: 'manifestSizeCheck',
      default: 'strict',
      description:
        'What becomes of a manifest with a descriptor whose size is not the stored one: it is refused (`strict`), or taken with a `Warning` header (`warn`).'
    },
    ['strict', 'warn']
  ),
  MANIFEST_REFERENCES_MAX: wholeNumber(
    {
      setting: 'manifestReferencesMax',
      default: '5000',
      description:
        'Most blobs and manifests, each counted once, that one manifest may name; one that names more is answered with 400.'
    },
    100,
    100_000
  ),
  TAGS_PAGE_MAX: wholeNumber(
    {
      setting: 'tagsPageMax',
      default: '1000',
      description: 'Most entries in one page of tags or of the catalog; a larger `n` is cut to it.'
    },
    1,
    100_000
  ),
  UPLOAD_EXPIRY: duration(
    {
      setting: 'uploadExpiryMs',
      default: '7d',
      description: 'How long an upload may lie idle before it is dropped with its bytes.'
    },
    '1m',
    '365d'
  ),
  EXTERNAL_URL: optional(
    baseUrl({
      setting: 'externalUrl',
      default: '',
      description:
        'The URL under which clients reach the registry; set, `Location` headers are absolute, else relative.'
    })
  ),
  TRUST_PROXY: trustProxy({
    setting: 'trustProxy',
    default: 'false',
    description: 'Whose `X-Forwarded-*` headers count; `true` believes every client, so name your proxies instead.'
  }),
  HEADERS_TIMEOUT: duration(
    {
      setting: 'headersTimeoutMs',
      default: '60s',
      description: 'How long the headers of a request may take; then it is answered with 408 and the connection ends.'
    },
    '1s',
    '1h'
  ),
  IDLE_TIMEOUT: duration(
    {
      setting: 'idleTimeoutMs',
      default: '2m',
      description:
        'How long a client may send no byte of a body (then 408), or take none of an answer. How slowly it goes does not count.'
    },
    '1s',
    '1d'
  ),
  KEEP_ALIVE_TIMEOUT: duration(
    {
      setting: 'keepAliveTimeoutMs',
      default: '620s',
      description:
        'How long a connection stays open between two requests. A load balancer in front must close its idle connections first: Google’s keep them for 600 s.'
    },
    '1s',
    '1d'
  ),
  MAX_HEADER_BYTES: size(
    {
      setting: 'maxHeaderBytes',
      default: '64KiB',
      description:
        'Longest head of a request: its first line and all headers; a longer one is answered with 431. Tokens of identity providers may have 24 KiB, and a third more as a password.'
    },
    '8KiB',
    '1MiB'
  ),
  MAX_CONNECTIONS: wholeNumber(
    {
      setting: 'maxConnections',
      default: '10000',
      description:
        'Most connections at once of each process; requests on further ones are answered with 503 and `Retry-After`.'
    },
    1,
    1_000_000
  ),
  SHUTDOWN_TIMEOUT: duration(
    {
      setting: 'shutdownTimeoutMs',
      default: '30s',
      description: 'How long requests in flight may take to finish after SIGTERM or SIGINT.'
    },
    '0s',
    '1d'
  ),
  OPENAPI_ENABLED: boolean({
    setting: 'openapiEnabled',
    default: 'true',
    description: 'Whether the API description is served at `/openapi.json`.'
  }),
  // The least is enforced here alone: the collector's proofs hold for any grace, but a push takes a while.
  GC_GRACE: duration(
    {
      setting: 'gcGraceMs',
      default: '24h',
      description:
        'How long something unused is kept before collection may take it; half of it is how long a blob seen by HEAD can be relied upon. The same for all processes on a store.'
    },
    '1h',
    '365d'
  ),
  GC_INTERVAL: duration(
    {
      setting: 'gcIntervalMs',
      default: '24h',
      description: 'How often what nothing needs is collected, while serving; `0`: this process does not.'
    },
    '0s',
    '365d'
  ),
  BUFFER_MEMORY: size(
    {
      setting: 'bufferMemoryBytes',
      default: '64MiB',
      description:
        'Memory for the buffers of all uploads and downloads together; as much again for long answers that clients have not read yet.'
    },
    '8MiB',
    '64GiB'
  ),
  WORKERS: workers({
    setting: 'workers',
    default: '1',
    description:
      'Processes that serve; `auto` is one a processor, 4 at most. They share BUFFER_MEMORY and CACHE_MEMORY (docs/operations.md).'
  }),
  WORKER_TIMEOUT: duration(
    {
      setting: 'workerTimeoutMs',
      default: '30s',
      description:
        'With several WORKERS: how long one may leave the first process without an answer before it is killed and replaced; `0`: for ever.'
    },
    '0s',
    '1h'
  ),
  CACHE_MEMORY: size(
    {
      setting: 'cacheMemoryBytes',
      default: '64MiB',
      description: 'Memory for small immutable objects, such as manifests, that were read lately.'
    },
    '1MiB',
    '64GiB'
  ),
  ALLOW_UNKNOWN_VARIABLES: list(
    {
      default: '',
      description:
        'Names of variables of other programs that look like mistyped names of this registry and would stop the start; they are ignored.'
    },
    'names of variables joined by commas',
    /^[A-Za-z_][\w.-]*$/
  )
}

export type GeneralSettings = Settings<typeof generalVariables>
