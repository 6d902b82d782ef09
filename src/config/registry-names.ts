import type { VariableName } from './schema.ts'
import { loadYaml } from './yaml.ts'

/** What a name of CNCF Distribution's configuration is to us. */
export interface RegistryName {
  /** Our variables, each with how its text is made; '' says nothing, undefined can't be used. */
  becomes?: Partial<Record<VariableName, (text: string, env: NodeJS.ProcessEnv) => string | undefined>>
  /** What it takes, where that is not what our variable takes. */
  allowed?: string
  /** Why it may be set and changes nothing. */
  unneeded?: string
  /** The values that change nothing, where others would: those stop the start. `allowed` says which. */
  accepts?: RegExp
}

const same = (text: string): string => text
const no = /^(false|0|no|off)$/i
const yes = /^(true|1|yes|on)$/i
const opposite = (text: string): string => (yes.test(text) ? 'false' : no.test(text) ? 'true' : text)

/**
 * The names that stand in compose files made for CNCF Distribution, which reads `a.b.c` of its configuration file from
 * `REGISTRY_A_B_C`. `npm run docs` writes the table of docs/configuration.md from it.
 */
export const registryNames: Readonly<Record<string, RegistryName>> = {
  REGISTRY_HTTP_ADDR: {
    becomes: { HOST: text => address(text)?.host, PORT: text => address(text)?.port },
    allowed: '`HOST:PORT` or `:PORT`'
  },
  REGISTRY_HTTP_HOST: { becomes: { EXTERNAL_URL: same } },
  REGISTRY_HTTP_TLS_CERTIFICATE: { becomes: { TLS_CERT_FILE: same } },
  REGISTRY_HTTP_TLS_KEY: { becomes: { TLS_KEY_FILE: same } },
  REGISTRY_HTTP_TLS_CLIENTCAS: {
    becomes: { TLS_CLIENT_CA_FILE: onlyOne },
    allowed: "a list in YAML with one file, such as `['/certs/ca.pem']`"
  },
  REGISTRY_HTTP_TLS_CLIENTCAS_0: { becomes: { TLS_CLIENT_CA_FILE: same } },
  REGISTRY_HTTP_TLS_MINIMUMTLS: {
    unneeded: 'TLS 1.2 is the least here',
    accepts: /^tls1\.[012]$/i,
    allowed: '`tls1.0`, `tls1.1`, `tls1.2`'
  },
  REGISTRY_HTTP_DRAINTIMEOUT: {
    becomes: { SHUTDOWN_TIMEOUT: seconds },
    allowed: 'whole hours, minutes and seconds such as `30s` or `1m30s`, up to a day'
  },
  REGISTRY_HTTP_SECRET: { unneeded: 'upload sessions are signed with a key that is kept in the storage' },
  REGISTRY_HTTP_RELATIVEURLS: { unneeded: '`Location` headers are relative unless EXTERNAL_URL is set' },
  'REGISTRY_HTTP_HEADERS_Access-Control-Allow-Origin': {
    becomes: { CORS_ALLOW_ORIGIN: origins },
    allowed: "a list in YAML such as `['https://ui.example.com']`, or `*`"
  },
  'REGISTRY_HTTP_HEADERS_Access-Control-Allow-Credentials': {
    becomes: { CORS_ALLOW_CREDENTIALS: text => text.replace(/^\[\s*([a-z]+)\s*\]$/i, '$1') },
    allowed: 'a list in YAML such as `[true]`'
  },
  'REGISTRY_HTTP_HEADERS_Access-Control-Allow-Headers': { unneeded: 'every header that a page asks for is allowed' },
  'REGISTRY_HTTP_HEADERS_Access-Control-Allow-Methods': { unneeded: 'every method of the API is allowed' },
  'REGISTRY_HTTP_HEADERS_Access-Control-Expose-Headers': { unneeded: 'every header of the API is exposed' },
  'REGISTRY_HTTP_HEADERS_Access-Control-Max-Age': { unneeded: 'it is always 10 minutes' },
  REGISTRY_HTTP_DEBUG_ADDR: {
    becomes: { METRICS_HOST: text => address(text)?.host, METRICS_PORT: text => address(text)?.port },
    allowed: '`HOST:PORT` or `:PORT`'
  },
  REGISTRY_HTTP_DEBUG_PROMETHEUS_ENABLED: { unneeded: 'METRICS_PORT always serves metrics' },
  REGISTRY_LOG_ACCESSLOG_DISABLED: {
    becomes: { LOG_REQUESTS: text => (yes.test(text) ? 'none' : no.test(text) ? '' : undefined) },
    allowed: '`true` or `false`'
  },
  REGISTRY_LOG_LEVEL: {
    becomes: { LOG_LEVEL: text => (/^warning$/i.test(text) ? 'warn' : /^panic$/i.test(text) ? 'fatal' : text) }
  },
  REGISTRY_LOG_FORMATTER: {
    becomes: { LOG_FORMAT: text => ({ text: 'pretty', json: 'json', logstash: 'json' })[text.toLowerCase()] },
    allowed: '`text`, `json`, `logstash`'
  },
  REGISTRY_STORAGE: { becomes: { STORAGE_DRIVER: same } },
  REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: { becomes: { STORAGE_PATH: same } },
  REGISTRY_STORAGE_DELETE_ENABLED: { becomes: { DELETE_ENABLED: same } },
  REGISTRY_STORAGE_REDIRECT_DISABLE: { becomes: { S3_REDIRECT: opposite } },
  REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED: { becomes: { READ_ONLY: same } },
  REGISTRY_STORAGE_MAINTENANCE_UPLOADPURGING_AGE: {
    becomes: { UPLOAD_EXPIRY: seconds },
    allowed: 'whole hours, minutes and seconds such as `168h`'
  },
  REGISTRY_STORAGE_S3_BUCKET: { becomes: { S3_BUCKET: same } },
  REGISTRY_STORAGE_S3_REGION: { becomes: { S3_REGION: same } },
  // Without a scheme, the AWS SDK of Go takes HTTPS.
  REGISTRY_STORAGE_S3_REGIONENDPOINT: {
    becomes: { S3_ENDPOINT: text => (/^[a-z]+:\/\//i.test(text) ? text : `https://${text}`) }
  },
  REGISTRY_STORAGE_S3_FORCEPATHSTYLE: { becomes: { S3_FORCE_PATH_STYLE: same } },
  REGISTRY_STORAGE_S3_ROOTDIRECTORY: { becomes: { S3_PREFIX: text => text.replace(/^\/+/, '') } },
  REGISTRY_STORAGE_S3_ACCESSKEY: { becomes: { AWS_ACCESS_KEY_ID: same } },
  REGISTRY_STORAGE_S3_SECRETKEY: { becomes: { AWS_SECRET_ACCESS_KEY: same } },
  REGISTRY_STORAGE_S3_STORAGECLASS: { becomes: { S3_STORAGE_CLASS: text => (text === 'NONE' ? '' : text) } },
  REGISTRY_STORAGE_S3_SESSIONTOKEN: { becomes: { AWS_SESSION_TOKEN: same } },
  REGISTRY_STORAGE_S3_SKIPVERIFY: { becomes: { S3_INSECURE_SKIP_VERIFY: same } },
  REGISTRY_STORAGE_S3_ENCRYPT: {
    becomes: { S3_SSE: encryption },
    allowed: '`true` (`aws:kms` with a KEYID, else `AES256`) or `false`'
  },
  REGISTRY_STORAGE_S3_KEYID: { becomes: { S3_KMS_KEY_ID: same } },
  REGISTRY_STORAGE_S3_CHUNKSIZE: { becomes: { S3_PART_SIZE: same } },
  REGISTRY_STORAGE_S3_SECURE: {
    unneeded: 'an endpoint without a scheme is taken for HTTPS',
    accepts: yes,
    allowed: '`true`; for plain HTTP, an endpoint with `http://`'
  },
  REGISTRY_STORAGE_S3_V4AUTH: { unneeded: 'requests are always signed by version 4', accepts: yes, allowed: '`true`' },
  REGISTRY_STORAGE_S3_OBJECTACL: {
    unneeded: "objects have the bucket's default",
    accepts: /^private$/i,
    allowed: '`private`'
  },
  REGISTRY_STORAGE_S3_USEDUALSTACK: { unneeded: 'it is off', accepts: no, allowed: '`false`' },
  REGISTRY_STORAGE_S3_ACCELERATE: { unneeded: 'it is off', accepts: no, allowed: '`false`' },
  REGISTRY_STORAGE_S3_MULTIPARTCOPYCHUNKSIZE: { unneeded: 'nothing is copied in parts' },
  REGISTRY_STORAGE_S3_MULTIPARTCOPYMAXCONCURRENCY: { unneeded: 'nothing is copied in parts' },
  REGISTRY_STORAGE_S3_MULTIPARTCOPYTHRESHOLDSIZE: { unneeded: 'nothing is copied in parts' },
  REGISTRY_STORAGE_S3_USERAGENT: { unneeded: 'requests carry the name of the AWS SDK' },
  REGISTRY_STORAGE_S3_LOGLEVEL: { unneeded: 'LOG_LEVEL covers storage too' },
  REGISTRY_AUTH: { unneeded: 'the variables of access control tell which kind it is' },
  REGISTRY_AUTH_HTPASSWD_PATH: { becomes: { AUTH_HTPASSWD_FILE: same } },
  REGISTRY_AUTH_HTPASSWD_REALM: { unneeded: 'the realm is always `registry`' },
  REGISTRY_AUTH_TOKEN_REALM: { becomes: { AUTH_TOKEN_REALM: same } },
  REGISTRY_AUTH_TOKEN_SERVICE: { becomes: { AUTH_TOKEN_SERVICE: same } },
  REGISTRY_AUTH_TOKEN_ISSUER: { becomes: { AUTH_TOKEN_ISSUER: same } },
  REGISTRY_AUTH_TOKEN_ROOTCERTBUNDLE: { becomes: { AUTH_TOKEN_ROOTCERTS: same } },
  REGISTRY_AUTH_TOKEN_JWKS: { becomes: { AUTH_TOKEN_JWKS: same } },
  REGISTRY_AUTH_TOKEN_AUTOREDIRECT: {
    unneeded: 'clients are always sent to AUTH_TOKEN_REALM',
    accepts: no,
    allowed: '`false`'
  },
  REGISTRY_CATALOG_MAXENTRIES: { becomes: { TAGS_PAGE_MAX: same } }
}

/** Go's form of an address to listen on. Without a host it is every address, which is our default too. */
function address(text: string): { host: string; port: string } | undefined {
  const [, bracketed, plain = '', port] = /^(?:\[([^\]]*)\]|([^:[\]]*)):(\d+)$/.exec(text) ?? []
  return port === undefined ? undefined : { host: bracketed ?? plain, port }
}

/** Go's form of a duration, in our seconds. */
function seconds(text: string): string | undefined {
  const [whole, h = 0, m = 0, s = 0] = /^(?:(\d{1,4})h)?(?:(\d{1,4})m)?(?:(\d{1,5})s)?$/.exec(text) ?? []
  if (text === '0') return '0s'
  return whole ? `${Number(h) * 3600 + Number(m) * 60 + Number(s)}s` : undefined
}

/** Distribution has KMS encrypt with a key of its own choice where a key is named. */
function encryption(text: string, env: NodeJS.ProcessEnv): string | undefined {
  if (no.test(text)) return ''
  if (!yes.test(text)) return undefined
  return env.REGISTRY_STORAGE_S3_KEYID?.trim() || env.S3_KMS_KEY_ID?.trim() ? 'aws:kms' : 'AES256'
}

function onlyOne(text: string): string | undefined {
  const items = listed(text)
  return items?.length === 1 ? items[0] : undefined
}

function origins(text: string): string | undefined {
  return listed(text)?.join(',')
}

/** Text, or a list of texts in YAML. */
function listed(text: string): string[] | undefined {
  if (!/^[[{'"]/.test(text)) return [text]
  try {
    const value: unknown = loadYaml().parse(text)
    const items: unknown[] = Array.isArray(value) ? value : [value]
    return items.every(item => typeof item === 'string') ? items : undefined
  } catch {
    return undefined
  }
}
