import { createRequire } from 'node:module'
import type { VariableName } from './schema.ts'

/** What a name of CNCF Distribution's configuration is to us. */
export interface RegistryName {
  /** Our variables, each with how its text is made; '' says nothing, undefined can't be used. */
  becomes?: Partial<Record<VariableName, (text: string) => string | undefined>>
  /** What it takes, where that is not what our variable takes. */
  allowed?: string
  /** Why it may be set and changes nothing. */
  unneeded?: string
}

const same = (text: string): string => text
const opposite = (text: string): string =>
  /^(true|1|yes|on)$/i.test(text) ? 'false' : /^(false|0|no|off)$/i.test(text) ? 'true' : text

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
  REGISTRY_AUTH: { unneeded: 'the variables of access control tell which kind it is' },
  REGISTRY_AUTH_HTPASSWD_PATH: { becomes: { AUTH_HTPASSWD_FILE: same } },
  REGISTRY_AUTH_HTPASSWD_REALM: { unneeded: 'the realm is always `registry`' },
  REGISTRY_AUTH_TOKEN_REALM: { becomes: { AUTH_TOKEN_REALM: same } },
  REGISTRY_AUTH_TOKEN_SERVICE: { becomes: { AUTH_TOKEN_SERVICE: same } },
  REGISTRY_AUTH_TOKEN_ISSUER: { becomes: { AUTH_TOKEN_ISSUER: same } },
  REGISTRY_AUTH_TOKEN_ROOTCERTBUNDLE: { becomes: { AUTH_TOKEN_ROOTCERTS: same } },
  REGISTRY_AUTH_TOKEN_JWKS: { becomes: { AUTH_TOKEN_JWKS: same } },
  REGISTRY_CATALOG_MAXENTRIES: { becomes: { TAGS_PAGE_MAX: same } }
}

/** Go's form of an address to listen on. Without a host it is every address, which is our default too. */
function address(text: string): { host: string; port: string } | undefined {
  const [, bracketed, plain = '', port] = /^(?:\[([^\]]*)\]|([^:[\]]*)):(\d+)$/.exec(text) ?? []
  return port === undefined ? undefined : { host: bracketed ?? plain, port }
}

/** Go's form of a duration, in our seconds. */
function seconds(text: string): string | undefined {
  const [whole, h = 0, m = 0, s = 0] = /^(?:(\d{1,2})h)?(?:(\d{1,4})m)?(?:(\d{1,5})s)?$/.exec(text) ?? []
  if (text === '0') return '0s'
  return whole ? `${Number(h) * 3600 + Number(m) * 60 + Number(s)}s` : undefined
}

/** Loaded where it is wanted: it would be 50 ms of every start. */
const loadYaml = () => createRequire(import.meta.url)('yaml') as typeof import('yaml')

function origins(text: string): string | undefined {
  if (!/^[[{'"]/.test(text)) return text
  try {
    const value: unknown = loadYaml().parse(text)
    const items = Array.isArray(value) ? value : [value]
    return items.every(item => typeof item === 'string') ? items.join(',') : undefined
  } catch {
    return undefined
  }
}
