import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { registryNames } from '../src/config/registry-names.ts'
import { registryNote } from '../src/config/registry-report.ts'
import { type Config, ConfigError, configWarnings, defaults, loadConfig } from '../src/config.ts'
import { createAuthority } from './support/certificates.ts'

const HASH = '$2y$05$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy'
const S3 = { REGISTRY_STORAGE: 's3', REGISTRY_STORAGE_S3_BUCKET: 'images', REGISTRY_STORAGE_S3_REGION: 'eu-central-1' }

const isTriedApart = (name: string): boolean =>
  /^REGISTRY_(STORAGE_(S3|REDIRECT)|AUTH_TOKEN|HTTP_DEBUG|HTTP_TLS_(CLIENTCAS|MINIMUM)|LOG_ACCESSLOG|STORAGE_MAINTENANCE_UPLOAD)/.test(
    name
  )

function problemsOf(env: NodeJS.ProcessEnv): readonly string[] {
  try {
    loadConfig(env)
    return []
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
}

t.test('each name means what it means to CNCF Distribution', async t => {
  const folder = t.testdir({ users: `alice:${HASH}` })
  const { certFile, keyFile } = createAuthority(join(folder, 'ca')).issue('registry')
  const users = join(folder, 'users')
  const cases: [NodeJS.ProcessEnv, Partial<Config>][] = [
    [{ REGISTRY_HTTP_ADDR: ':5001' }, { port: 5001, host: '::' }],
    [{ REGISTRY_HTTP_ADDR: '0.0.0.0:80' }, { port: 80, host: '0.0.0.0' }],
    [{ REGISTRY_HTTP_ADDR: 'localhost:80' }, { port: 80, host: 'localhost' }],
    [{ REGISTRY_HTTP_ADDR: '[::1]:80' }, { port: 80, host: '::1' }],
    [{ REGISTRY_HTTP_HOST: 'https://hub.example.com/' }, { externalUrl: 'https://hub.example.com' }],
    [
      { REGISTRY_HTTP_TLS_CERTIFICATE: certFile, REGISTRY_HTTP_TLS_KEY: keyFile },
      { tls: { certFile, keyFile, clientCaFile: undefined } }
    ],
    [{ REGISTRY_HTTP_DRAINTIMEOUT: '1m30s' }, { shutdownTimeoutMs: 90_000 }],
    [{ REGISTRY_HTTP_DRAINTIMEOUT: '2h' }, { shutdownTimeoutMs: 7_200_000 }],
    [{ REGISTRY_HTTP_DRAINTIMEOUT: '0' }, { shutdownTimeoutMs: 0 }],
    [{ REGISTRY_HTTP_SECRET: 'asecretforlocaldevelopment', REGISTRY_HTTP_RELATIVEURLS: 'true' }, {}],
    [{ 'REGISTRY_HTTP_HEADERS_Access-Control-Allow-Origin': "['*']" }, { corsOrigins: ['*'] }],
    [{ 'REGISTRY_HTTP_HEADERS_Access-Control-Allow-Origin': '*' }, { corsOrigins: ['*'] }],
    [
      { 'REGISTRY_HTTP_HEADERS_Access-Control-Allow-Origin': '[http://ui.example.com, "https://b.example"]' },
      { corsOrigins: ['http://ui.example.com', 'https://b.example'] }
    ],
    [
      {
        'REGISTRY_HTTP_HEADERS_Access-Control-Allow-Origin': "['http://ui.example.com']",
        'REGISTRY_HTTP_HEADERS_Access-Control-Allow-Credentials': '[true]',
        'REGISTRY_HTTP_HEADERS_Access-Control-Allow-Headers': "['Authorization', 'Accept', 'Cache-Control']",
        'REGISTRY_HTTP_HEADERS_Access-Control-Allow-Methods': "['HEAD', 'GET', 'OPTIONS', 'DELETE']",
        'REGISTRY_HTTP_HEADERS_Access-Control-Expose-Headers': "['Docker-Content-Digest']",
        'REGISTRY_HTTP_HEADERS_Access-Control-Max-Age': '[1728000]'
      },
      { corsOrigins: ['http://ui.example.com'], corsCredentials: true }
    ],
    [{ REGISTRY_LOG_LEVEL: 'warning' }, { logLevel: 'warn' }],
    [{ REGISTRY_LOG_LEVEL: 'debug' }, { logLevel: 'debug' }],
    [{ REGISTRY_LOG_LEVEL: 'panic' }, { logLevel: 'fatal' }],
    [{ REGISTRY_LOG_FORMATTER: 'text' }, { logFormat: 'pretty' }],
    [{ REGISTRY_LOG_FORMATTER: 'logstash' }, { logFormat: 'json' }],
    [
      { REGISTRY_STORAGE: 'filesystem', REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: '/var/lib/registry' },
      { storagePath: '/var/lib/registry' }
    ],
    [{ REGISTRY_STORAGE_DELETE_ENABLED: 'false' }, { deleteEnabled: false }],
    [{ REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED: 'true' }, { readOnly: true }],
    [
      { REGISTRY_AUTH: 'htpasswd', REGISTRY_AUTH_HTPASSWD_PATH: users, REGISTRY_AUTH_HTPASSWD_REALM: 'Realm' },
      {
        access: { htpasswdFile: users, policyFile: undefined, anonymous: 'none' }
      }
    ],
    [{ REGISTRY_CATALOG_MAXENTRIES: '100' }, { tagsPageMax: 100 }]
  ]
  for (const [env, settings] of cases) t.strictSame(loadConfig(env), { ...defaults, ...settings }, JSON.stringify(env))

  const tokens = {
    REGISTRY_AUTH: 'token',
    REGISTRY_AUTH_TOKEN_REALM: 'https://auth.example.com/token',
    REGISTRY_AUTH_TOKEN_SERVICE: 'registry.example.com',
    REGISTRY_AUTH_TOKEN_ISSUER: 'auth.example.com'
  }
  const issuer = {
    issuer: 'auth.example.com',
    realm: tokens.REGISTRY_AUTH_TOKEN_REALM,
    service: 'registry.example.com'
  }
  const certified = loadConfig({ ...tokens, REGISTRY_AUTH_TOKEN_ROOTCERTBUNDLE: certFile })
  t.match(certified.access?.tokens, { ...issuer, rootCertsFile: certFile })
  const jwks = 'https://auth.example.com/jwks'
  t.match(loadConfig({ ...tokens, REGISTRY_AUTH_TOKEN_JWKS: jwks }).access?.tokens, { ...issuer, jwks })

  const s3 = loadConfig({
    ...S3,
    REGISTRY_STORAGE_S3_REGIONENDPOINT: 'minio.internal:9000',
    REGISTRY_STORAGE_S3_FORCEPATHSTYLE: 'true',
    REGISTRY_STORAGE_S3_ROOTDIRECTORY: '/team',
    REGISTRY_STORAGE_S3_ACCESSKEY: 'id',
    REGISTRY_STORAGE_S3_SECRETKEY: 'secret',
    REGISTRY_STORAGE_S3_STORAGECLASS: 'STANDARD_IA',
    REGISTRY_STORAGE_REDIRECT_DISABLE: 'false'
  })
  t.match(s3, {
    redirectExpiryMs: 900_000,
    s3: {
      bucket: 'images',
      region: 'eu-central-1',
      endpoint: 'https://minio.internal:9000',
      forcePathStyle: true,
      prefix: 'team/',
      credentials: { accessKeyId: 'id', secretAccessKey: 'secret' },
      storageClass: 'STANDARD_IA'
    }
  })
  const plain = { ...S3, REGISTRY_STORAGE_S3_ROOTDIRECTORY: '/', REGISTRY_STORAGE_S3_STORAGECLASS: 'NONE' }
  t.match(loadConfig({ ...plain, REGISTRY_STORAGE_REDIRECT_DISABLE: 'true' }), {
    redirectExpiryMs: undefined,
    s3: { prefix: undefined, storageClass: undefined }
  })
  const tried = new Set([
    ...cases.flatMap(([env]) => Object.keys(env)),
    ...Object.keys(registryNames).filter(isTriedApart)
  ])
  t.strictSame([...tried].sort(), Object.keys(registryNames).sort(), 'every name is tried')
})

t.test('what can’t be used is one line with the name that was set', async t => {
  const cases: [NodeJS.ProcessEnv, RegExp][] = [
    [{ REGISTRY_HTTP_DRAINTIMEOUT: '1500ms' }, /^REGISTRY_HTTP_DRAINTIMEOUT is "1500ms"; allowed: whole hours/],
    [{ REGISTRY_HTTP_HOST: 'hub.example.com' }, /^REGISTRY_HTTP_HOST is "hub.example.com"; allowed: an absolute/],
    [
      { 'REGISTRY_HTTP_HEADERS_Access-Control-Allow-Origin': '[*' },
      /^REGISTRY_HTTP_HEADERS_Access-Control-Allow-Origin is "\[\*"; allowed: a list in YAML/
    ],
    [{ REGISTRY_LOG_FORMATTER: 'xml' }, /^REGISTRY_LOG_FORMATTER is "xml"; allowed: `text`,/],
    [{ REGISTRY_LOG_LEVEL: 'loud' }, /^REGISTRY_LOG_LEVEL is "loud"; allowed: `trace`,/],
    [{ REGISTRY_STORAGE: 'inmemory' }, /^REGISTRY_STORAGE is "inmemory"; allowed: `filesystem`, `s3`$/],
    [{ ...S3, REGISTRY_STORAGE_REDIRECT_DISABLE: 'x' }, /^REGISTRY_STORAGE_REDIRECT_DISABLE is "x"; allowed: `true`/],
    [{ REGISTRY_AUTH: 'silly' }, /^REGISTRY_AUTH is "silly"; allowed: `htpasswd`, `token`$/],
    [{ REGISTRY_AUTH: 'token' }, /^REGISTRY_AUTH is "token", and there is no issuer of tokens; allowed: with /],
    [
      { REGISTRY_AUTH_TOKEN_REALM: 'https://auth.example.com/token' },
      /^AUTH_TOKEN_REALM is set and AUTH_TOKEN_ISSUER is not;/
    ],
    [{ REGISTRY_AUTH: 'htpasswd' }, /^REGISTRY_AUTH is "htpasswd", and there is no file of users; allowed: with /]
  ]
  for (const [env, line] of cases) {
    const problems = problemsOf(env)
    t.equal(problems.length, 1, JSON.stringify(env))
    t.match(problems[0], line)
  }
  for (const text of ['5000', 'http://:5000', 'a:b', '::1:5000', ':http']) {
    const problems = problemsOf({ REGISTRY_HTTP_ADDR: text })
    t.ok(problems.length > 0 && problems.every(line => line.includes('REGISTRY_HTTP_ADDR is "')), text)
  }
})

t.test('beside our own variable: the same is fine, another value is a problem that names both', async t => {
  t.strictSame(problemsOf({ REGISTRY_HTTP_ADDR: ':5001', PORT: '5001', HOST: '127.0.0.1' }), [])
  t.match(problemsOf({ REGISTRY_HTTP_ADDR: ':5001', PORT: '5000' }), [
    /^PORT is "5000" and REGISTRY_HTTP_ADDR is ":5001"; allowed: one of them, or both the same$/
  ])
  t.match(problemsOf({ REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: '/a', STORAGE_PATH: '/b' }), [
    /^STORAGE_PATH is "\/b" and REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY is "\/a"; /
  ])
  t.match(problemsOf({ REGISTRY_STORAGE: 's3', STORAGE_TYPE: 'filesystem' }), [
    /^STORAGE_TYPE is "filesystem" and REGISTRY_STORAGE is "s3"; /
  ])
  const keys = { ...S3, REGISTRY_STORAGE_S3_ACCESSKEY: 'hush1', AWS_ACCESS_KEY_ID: 'hush2', AWS_SECRET_ACCESS_KEY: 'x' }
  t.strictSame(problemsOf(keys), [
    'AWS_ACCESS_KEY_ID is "…" and REGISTRY_STORAGE_S3_ACCESSKEY is "…"; allowed: one of them, or both the same'
  ])
  t.equal(loadConfig({ ...S3, AWS_REGION: 'us-west-2' }).s3?.region, 'eu-central-1', 'before names of the AWS SDK')
})

t.test('near misses stop the start, other names warn, and Kubernetes is let be', async t => {
  for (const [name, meant] of [
    ['REGISTRY_HTTP_ADRR', 'REGISTRY_HTTP_ADDR'],
    ['REGISTRY_STORAGE_FILESYSTEM_ROOTDIR', undefined],
    ['REGISTRY_STORAGE_DELETE_ENABLE', 'REGISTRY_STORAGE_DELETE_ENABLED'],
    ['REGISTRY_HTTP_HEADERS_Access-Control-Allow-Origins', 'REGISTRY_HTTP_HEADERS_Access-Control-Allow-Origin'],
    ['REGISTRY_PATH', undefined],
    ['REGISTRY_NOTIFICATIONS_ENDPOINTS', undefined]
  ] as const) {
    if (meant !== undefined) {
      t.match(problemsOf({ [name]: 'x' }), [new RegExp(`^unknown variable ${name}: did you mean ${meant}\\?; `)])
      continue
    }
    t.strictSame(problemsOf({ [name]: 'x' }), [])
    t.strictSame(configWarnings({ [name]: 'x' }), [`${name} is not a variable of this registry and has no effect`])
  }
  const service = {
    REGISTRY_PORT: 'tcp://10.0.0.1:5000',
    REGISTRY_PORT_5000_TCP: 'tcp://10.0.0.1:5000',
    REGISTRY_PORT_5000_TCP_ADDR: '10.0.0.1',
    REGISTRY_PORT_5000_TCP_PORT: '5000',
    REGISTRY_PORT_5000_TCP_PROTO: 'tcp',
    REGISTRY_SERVICE_HOST: '10.0.0.1',
    REGISTRY_SERVICE_PORT: '5000',
    REGISTRY_SERVICE_PORT_HTTP: '5000'
  }
  t.strictSame(loadConfig(service), defaults)
  t.strictSame(configWarnings(service), [])
})

t.test('15.14: a security setting that is not served stops the start', async t => {
  for (const [name, value] of [
    ['REGISTRY_PROXY_REMOTEURL', 'https://registry-1.docker.io'],
    ['REGISTRY_PROXY_TTL', '24h'],
    ['REGISTRY_PROXY', '{"remoteurl":"https://registry-1.docker.io"}'],
    ['REGISTRY_HTTP_TLS_CIPHERSUITES', '[TLS_AES_256_GCM_SHA384]'],
    ['REGISTRY_HTTP_TLS_CLIENTAUTH', 'require-any-client-cert'],
    ['REGISTRY_HTTP_TLS_LETSENCRYPT_EMAIL', 'a@b.example'],
    ['REGISTRY_AUTH_SILLY_REALM', 'x'],
    ['REGISTRY_AUTH_TOKEN_SIGNINGALGORITHMS', '[RS256]'],
    ['REGISTRY_STORAGE_S3_USEFIPSENDPOINT', 'true'],
    ['REGISTRY_STORAGE_MAINTENANCE_READONLY', 'true'],
    ['REGISTRY_STORAGE_MAINTENANCE_READONLY', '{"enabled":'],
    ['REGISTRY_STORAGE_DELETE', 'false']
  ] as const) {
    t.match(problemsOf({ [name]: value }), [
      /^REGISTRY_\w+ is set, and this registry does not serve that setting; allowed: ALLOW_UNKNOWN_VARIABLES=REGISTRY_\w+, which/
    ])
    const strangers = ['REGISTRY_PROXY_REMOTEURL', name].join(',')
    t.strictSame(problemsOf({ [name]: value, ALLOW_UNKNOWN_VARIABLES: strangers }), [], name)
  }
  for (const [name, value] of [
    ['REGISTRY_HTTP_TLS_MINIMUMTLS', 'tls1.3'],
    ['REGISTRY_STORAGE_S3_SECURE', 'false'],
    ['REGISTRY_STORAGE_S3_OBJECTACL', 'public-read'],
    ['REGISTRY_AUTH_TOKEN_AUTOREDIRECT', 'true']
  ] as const) {
    t.match(problemsOf({ [name]: value }), [new RegExp(`^${name} is "${value}"; allowed: `)])
  }
})

t.test('15.14: a map in YAML sets what its values set', async t => {
  const cases: [NodeJS.ProcessEnv, object][] = [
    [{ REGISTRY_STORAGE_MAINTENANCE_READONLY: '{"enabled":true}' }, { readOnly: true }],
    [{ REGISTRY_STORAGE_MAINTENANCE: '{readonly: {enabled: true}, uploadpurging: {age: 48h}}' }, { readOnly: true }],
    [{ REGISTRY_STORAGE_DELETE: '{enabled: false}' }, { deleteEnabled: false }],
    [{ REGISTRY_STORAGE: '{delete: {enabled: false}, filesystem: {rootdirectory: /x}}' }, { storagePath: '/x' }],
    [
      { REGISTRY_HTTP_HEADERS: '{Access-Control-Allow-Origin: ["https://a.example"]}' },
      { corsOrigins: ['https://a.example'] }
    ],
    [
      { REGISTRY_STORAGE: '{s3: {bucket: images, region: eu-central-1}}' },
      { storageDriver: 's3', s3: { bucket: 'images' } }
    ]
  ]
  for (const [env, settings] of cases) t.match(loadConfig(env), settings, JSON.stringify(env))
  t.match(problemsOf({ REGISTRY_AUTH: '{htpasswd: {realm: a, path: /nowhere}}' }), [
    /^AUTH_HTPASSWD_FILE is "\/nowhere": /
  ])
  t.match(problemsOf({ REGISTRY_AUTH: '{htpasswd: {realm: a}}' }), [
    /^REGISTRY_AUTH is "htpasswd", and there is no file/
  ])
  t.equal(
    registryNote({ REGISTRY_STORAGE_MAINTENANCE_READONLY: '{"enabled":true}' }),
    'REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED became READ_ONLY=true'
  )
})

t.test('15.19: more names of CNCF Distribution are served', async t => {
  const authority = createAuthority(join(t.testdir({}), 'ca'))
  const { certFile, keyFile } = authority.issue('registry')
  const tls = { REGISTRY_HTTP_TLS_CERTIFICATE: certFile, REGISTRY_HTTP_TLS_KEY: keyFile }
  const { caFile } = authority
  const cases: [NodeJS.ProcessEnv, object][] = [
    [{ REGISTRY_HTTP_DEBUG_ADDR: ':5001' }, { metricsPort: 5001, metricsHost: undefined }],
    [{ REGISTRY_HTTP_DEBUG_ADDR: 'localhost:5001' }, { metricsPort: 5001, metricsHost: 'localhost' }],
    [{ REGISTRY_HTTP_DEBUG_PROMETHEUS_ENABLED: 'true' }, {}],
    [{ REGISTRY_LOG_ACCESSLOG_DISABLED: 'true' }, { logRequests: 'none' }],
    [{ REGISTRY_LOG_ACCESSLOG_DISABLED: 'false' }, { logRequests: 'all' }],
    [{ REGISTRY_STORAGE_MAINTENANCE_UPLOADPURGING_AGE: '168h' }, { uploadExpiryMs: 7 * 24 * 3600e3 }],
    [{ ...tls, REGISTRY_HTTP_TLS_CLIENTCAS: `['${caFile}']` }, { tls: { clientCaFile: caFile } }],
    [{ ...tls, REGISTRY_HTTP_TLS_CLIENTCAS_0: caFile }, { tls: { clientCaFile: caFile } }],
    [{ ...tls, REGISTRY_HTTP_TLS_MINIMUMTLS: 'tls1.2' }, {}],
    [{ ...S3, REGISTRY_STORAGE_S3_SKIPVERIFY: 'true' }, { s3: { insecureSkipVerify: true } }],
    [{ ...S3, REGISTRY_STORAGE_S3_ENCRYPT: 'true' }, { s3: { sse: 'AES256' } }],
    [{ ...S3, REGISTRY_STORAGE_S3_ENCRYPT: 'false' }, { s3: { sse: undefined } }],
    [
      { ...S3, REGISTRY_STORAGE_S3_ENCRYPT: 'true', REGISTRY_STORAGE_S3_KEYID: 'alias/a' },
      { s3: { sse: 'aws:kms', kmsKeyId: 'alias/a' } }
    ],
    [{ ...S3, REGISTRY_STORAGE_S3_CHUNKSIZE: '10485760' }, { s3: { partSize: 10 * 2 ** 20 } }],
    [
      {
        ...S3,
        ...{
          REGISTRY_STORAGE_S3_ACCESSKEY: 'a',
          REGISTRY_STORAGE_S3_SECRETKEY: 'b',
          REGISTRY_STORAGE_S3_SESSIONTOKEN: 'c'
        }
      },
      { s3: { credentials: { accessKeyId: 'a', secretAccessKey: 'b', sessionToken: 'c' } } }
    ]
  ]
  for (const [env, settings] of cases) t.match(loadConfig(env), settings, JSON.stringify(env))
  for (const [env, line] of [
    [
      { ...tls, REGISTRY_HTTP_TLS_CLIENTCAS: `['${caFile}', '/b']` },
      /^REGISTRY_HTTP_TLS_CLIENTCAS is ".*; allowed: a list in YAML with one/
    ],
    [{ REGISTRY_HTTP_TLS_CLIENTCAS: caFile }, /^TLS_CLIENT_CA_FILE is set without TLS/],
    [{ ...S3, REGISTRY_STORAGE_S3_ENCRYPT: 'maybe' }, /^REGISTRY_STORAGE_S3_ENCRYPT is "maybe"; allowed: `true`/],
    [{ REGISTRY_LOG_ACCESSLOG_DISABLED: 'x' }, /^REGISTRY_LOG_ACCESSLOG_DISABLED is "x"; allowed: `true` or/]
  ] as const) {
    t.match(problemsOf(env), [line])
  }
})

t.test('one line tells what each name became, and no secret', async t => {
  const note = registryNote({
    REGISTRY_HTTP_ADDR: '0.0.0.0:5001',
    REGISTRY_HTTP_SECRET: 'hush',
    REGISTRY_STORAGE_S3_SECRETKEY: 'hush',
    REGISTRY_STORAGE_S3_ROOTDIRECTORY: '/',
    REGISTRY_STORAGE_DELETE_ENABLED: 'true'
  })
  t.strictSame(note?.split('; '), [
    'REGISTRY_HTTP_ADDR became HOST=0.0.0.0 and PORT=5001',
    'REGISTRY_HTTP_SECRET is not needed (upload sessions are signed with a key that is kept in the storage)',
    'REGISTRY_STORAGE_DELETE_ENABLED became DELETE_ENABLED=true',
    'REGISTRY_STORAGE_S3_ROOTDIRECTORY says what holds without it',
    'REGISTRY_STORAGE_S3_SECRETKEY became AWS_SECRET_ACCESS_KEY=…'
  ])
  t.equal(registryNote({ REGISTRY_HTTP_ADDR: ' ', PORT: '5000' }), undefined)
  t.strictSame(configWarnings({ REGISTRY_STORAGE_S3_BUCKET: 'images' }), [
    'REGISTRY_STORAGE_S3_BUCKET: no effect while STORAGE_DRIVER is "filesystem"'
  ])
})

t.test('no text of such a name breaks the reading', async t => {
  const env = fc.dictionary(
    fc.constantFrom(...Object.keys(registryNames)),
    fc.oneof(fc.string(), fc.constantFrom('s3', '[*]', '{a: b}', '[[1]]', '!!js', ':1', '1h1h'))
  )
  fc.assert(fc.property(env, env => problemsOf(env).every(line => line.includes('; allowed: '))))
  t.pass()
})

t.test('a secret may come from a file', async t => {
  const folder = t.testdir({ id: 'AKIA\n', secret: 'hush\r\n', two: 'hush\n\n', empty: '\n' })
  const aws = { STORAGE_DRIVER: 's3', S3_BUCKET: 'images', S3_REGION: 'eu-central-1' }
  const files = { AWS_ACCESS_KEY_ID_FILE: join(folder, 'id'), AWS_SECRET_ACCESS_KEY_FILE: join(folder, 'secret') }
  t.strictSame(loadConfig({ ...aws, ...files }).s3?.credentials, { accessKeyId: 'AKIA', secretAccessKey: 'hush' })
  const cases: [string, RegExp][] = [
    [
      '/nowhere/s3',
      /^AWS_SECRET_ACCESS_KEY_FILE is "\/nowhere\/s3": it can't be read \(ENOENT\); allowed: a file that this/
    ],
    [folder, /^AWS_SECRET_ACCESS_KEY_FILE is "[^"]*": it can't be read \(EISDIR\); allowed: a file/],
    [join(folder, 'empty'), /^AWS_SECRET_ACCESS_KEY_FILE is "[^"]*empty"; allowed: a file/],
    [join(folder, 'two'), /^AWS_SECRET_ACCESS_KEY_FILE is "[^"]*two"; allowed: characters without spaces$/]
  ]
  for (const [path, line] of cases) {
    t.match(problemsOf({ ...aws, ...files, AWS_SECRET_ACCESS_KEY_FILE: path }), [line], path)
  }
  writeFileSync(join(folder, 'same'), 'same')
  const both = { ...files, AWS_SECRET_ACCESS_KEY_FILE: join(folder, 'same'), AWS_SECRET_ACCESS_KEY: 'same' }
  t.strictSame(problemsOf({ ...aws, ...both }), [
    'AWS_SECRET_ACCESS_KEY and AWS_SECRET_ACCESS_KEY_FILE are both set; allowed: one of them'
  ])
  t.strictSame(configWarnings(files), [])
})

t.test('15.34: the name of a header has no case', async t => {
  const origin = 'REGISTRY_HTTP_HEADERS_Access-Control-Allow-Origin'
  const credentials = 'REGISTRY_HTTP_HEADERS_Access-Control-Allow-Credentials'
  const value = '["https://ui.example"]'
  const corsOrigins = ['https://ui.example']
  const lower = origin.replace('Access-Control-Allow-Origin', 'access-control-allow-origin')
  for (const name of [origin, origin.toUpperCase(), lower]) {
    const env = { [name]: value, [credentials.toUpperCase()]: '[true]' }
    t.match(loadConfig(env), { corsOrigins, corsCredentials: true }, name)
    t.strictSame(configWarnings(env), [], name)
    t.match(registryNote(env), /Allow-Origin became CORS_ALLOW_ORIGIN=https:\/\/ui\.example/)
  }
  t.match(loadConfig({ REGISTRY_HTTP_HEADERS: `{access-control-allow-origin: ${value}}` }), { corsOrigins }, 'in a map')
  t.match(loadConfig({ REGISTRY_HTTP: `{headers: {ACCESS-CONTROL-ALLOW-ORIGIN: ${value}}}` }), { corsOrigins })
  t.match(loadConfig({ [origin]: value, [origin.toUpperCase()]: value }), { corsOrigins }, 'twice the same')
  t.match(loadConfig({ [origin]: '', [origin.toUpperCase()]: value }), { corsOrigins }, 'empty is not set')
  t.match(loadConfig({ [origin]: value, [origin.toUpperCase()]: '' }), { corsOrigins }, 'empty is not set')
  t.match(
    problemsOf({ [origin]: value, [origin.toUpperCase()]: '["https://b.example"]' }),
    [/^unknown variable REGISTRY_HTTP_HEADERS_ACCESS-CONTROL-ALLOW-ORIGIN: did you mean /],
    'two values'
  )
  const names = { [origin.toUpperCase()]: '*', [credentials.toUpperCase()]: 'true' }
  t.match(problemsOf(names), [/^CORS_ALLOW_CREDENTIALS is "true" and CORS_ALLOW_ORIGIN is "\*"/], 'never for all')
})
