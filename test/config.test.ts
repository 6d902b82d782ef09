import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import t from 'tap'
import { editDistance } from '../src/config/names.ts'
import { ConfigSchema, configurationTable, variableNames } from '../src/config/schema.ts'
import { type Config, ConfigError, configWarnings, defaults, loadConfig } from '../src/config.ts'

function problemsOf(env: NodeJS.ProcessEnv): readonly string[] {
  try {
    loadConfig(env)
    return []
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
}

t.test('an empty environment gives the documented defaults', async t => {
  t.strictSame(defaults, {
    port: 5000,
    host: '::',
    storageDriver: 'filesystem',
    storagePath: './registry-data',
    logLevel: 'info',
    logFormat: 'auto',
    deleteEnabled: true,
    manifestMaxBytes: 4 * 2 ** 20,
    manifestAllowSparse: 'index',
    tagsPageMax: 1000,
    uploadExpiryMs: 7 * 24 * 3600 * 1000,
    externalUrl: undefined,
    trustProxy: false,
    shutdownTimeoutMs: 30_000,
    openapiEnabled: true,
    gcGraceMs: 24 * 3600 * 1000,
    bufferMemoryBytes: 64 * 2 ** 20,
    cacheMemoryBytes: 64 * 2 ** 20
  })
})

t.test('values are read to what the program works with', async t => {
  const cases: [string, string, keyof Config, unknown][] = [
    ['PORT', '0', 'port', 0],
    ['PORT', ' 8080\r', 'port', 8080],
    ['HOST', '127.0.0.1', 'host', '127.0.0.1'],
    ['HOST', '::1', 'host', '::1'],
    ['HOST', 'registry.internal', 'host', 'registry.internal'],
    ['STORAGE_PATH', '/srv/my data', 'storagePath', '/srv/my data'],
    ['STORAGE_TYPE', 'filesystem', 'storageDriver', 'filesystem'],
    ['LOG_LEVEL', 'DEBUG', 'logLevel', 'debug'],
    ['LOG_FORMAT', 'json', 'logFormat', 'json'],
    ['MANIFEST_MAX_BYTES', '1048576', 'manifestMaxBytes', 1048576],
    ['MANIFEST_MAX_BYTES', '512KiB', 'manifestMaxBytes', 512 * 1024],
    ['MANIFEST_MAX_BYTES', '8 mib', 'manifestMaxBytes', 8 * 2 ** 20],
    ['MANIFEST_ALLOW_SPARSE', 'all', 'manifestAllowSparse', 'all'],
    ['TAGS_PAGE_MAX', '50', 'tagsPageMax', 50],
    ['UPLOAD_EXPIRY', '90s', 'uploadExpiryMs', 90_000],
    ['UPLOAD_EXPIRY', '15m', 'uploadExpiryMs', 900_000],
    ['SHUTDOWN_TIMEOUT', '0s', 'shutdownTimeoutMs', 0],
    ['GC_GRACE', '1h', 'gcGraceMs', 3_600_000],
    ['BUFFER_MEMORY', '1GiB', 'bufferMemoryBytes', 2 ** 30],
    ['EXTERNAL_URL', 'https://example.com', 'externalUrl', 'https://example.com'],
    ['EXTERNAL_URL', 'http://Example.com:8080/oci/', 'externalUrl', 'http://example.com:8080/oci'],
    ['TRUST_PROXY', 'true', 'trustProxy', true],
    ['TRUST_PROXY', 'off', 'trustProxy', false],
    ['TRUST_PROXY', '10.0.0.0/8, fd00::/8,loopback', 'trustProxy', ['10.0.0.0/8', 'fd00::/8', 'loopback']]
  ]
  for (const [name, text, field, value] of cases) {
    t.strictSame(loadConfig({ [name]: text })[field], value, `${name}=${text}`)
  }
  for (const yes of ['true', '1', 'yes', 'on', 'TRUE']) t.equal(loadConfig({ DELETE_ENABLED: yes }).deleteEnabled, true)
  for (const no of ['false', '0', 'no', 'off', 'Off']) t.equal(loadConfig({ DELETE_ENABLED: no }).deleteEnabled, false)
})

t.test('empty text counts as not set', async t => {
  const env = Object.fromEntries(variableNames.map(name => [name, '']))
  t.strictSame(loadConfig({ ...env, STORAGE_TYPE: ' ' }), defaults)
})

t.test('a bad value is one line with the variable, what was given and what is allowed', async t => {
  const cases: [string, string][] = [
    ['PORT', '65536'],
    ['PORT', '-1'],
    ['PORT', '80.5'],
    ['PORT', '0x50'],
    ['HOST', 'http://localhost'],
    ['HOST', 'localhost:5000'],
    ['STORAGE_DRIVER', 'gcs'],
    ['STORAGE_DRIVER', 's3'],
    ['LOG_LEVEL', 'verbose'],
    ['LOG_FORMAT', 'text'],
    ['DELETE_ENABLED', 'maybe'],
    ['MANIFEST_MAX_BYTES', '4MB'],
    ['MANIFEST_MAX_BYTES', '1KiB'],
    ['MANIFEST_MAX_BYTES', '1GiB'],
    ['MANIFEST_ALLOW_SPARSE', 'true'],
    ['TAGS_PAGE_MAX', '0'],
    ['UPLOAD_EXPIRY', '3600'],
    ['UPLOAD_EXPIRY', '1w'],
    ['UPLOAD_EXPIRY', '1s'],
    ['EXTERNAL_URL', 'example.com'],
    ['EXTERNAL_URL', 'ftp://example.com'],
    ['EXTERNAL_URL', 'https://example.com/?a=b'],
    ['EXTERNAL_URL', 'https://example.com/#top'],
    ['EXTERNAL_URL', 'http:example.com'],
    ['TRUST_PROXY', 'nginx'],
    ['TRUST_PROXY', '1'],
    ['TRUST_PROXY', '10.0.0.0/33'],
    ['TRUST_PROXY', '10.0.0.0/8/8'],
    ['SHUTDOWN_TIMEOUT', '2d'],
    ['OPENAPI_ENABLED', '2'],
    ['GC_GRACE', '59m'],
    ['BUFFER_MEMORY', '1MiB'],
    ['CACHE_MEMORY', '0']
  ]
  for (const [name, text] of cases) {
    const problems = problemsOf({ [name]: text })
    t.equal(problems.length, 1, `${name}=${text}`)
    t.match(problems[0], new RegExp(`^${name} is "[^\\n]*"[^\\n]*; allowed: [^\\n]+$`))
    t.ok(problems[0]?.includes(JSON.stringify(text)))
  }
  t.notOk(problemsOf({ EXTERNAL_URL: 'https://me:secret@example.com' })[0]?.includes('secret'))
})

t.test('all problems are told at once, each variable of the schema among them', async t => {
  const free = ['STORAGE_PATH']
  const env = Object.fromEntries(variableNames.filter(name => !free.includes(name)).map(name => [name, '?\n!']))
  const problems = problemsOf(env)
  t.strictSame(problems.map(line => line.split(' ')[0]).sort(), Object.keys(env).sort())
  t.notOk(problems.some(line => line.includes('\n')))
})

t.test('STORAGE_TYPE is an alias: the same twice is fine, two different ones are not', async t => {
  t.strictSame(problemsOf({ STORAGE_DRIVER: 'filesystem', STORAGE_TYPE: 'filesystem' }), [])
  const [different] = problemsOf({ STORAGE_DRIVER: 'filesystem', STORAGE_TYPE: 's3' })
  t.match(different, /^STORAGE_DRIVER is "filesystem" and STORAGE_TYPE is "s3"; allowed: /)
  t.match(problemsOf({ STORAGE_TYPE: 'gcs' })[0], /^STORAGE_TYPE is "gcs"; allowed: /)
  t.match(problemsOf({ STORAGE_TYPE: 's3' })[0], /^STORAGE_DRIVER is "s3", but this version has no S3 storage yet/)
})

t.test('a name that is nearly one of ours is a problem, other unknown names with our prefixes a warning', async t => {
  for (const [name, meant] of [
    ['STORAGE_PTH', 'STORAGE_PATH'],
    ['STORAGE_DIRVER', 'STORAGE_DRIVER'],
    ['LOG_LEVL', 'LOG_LEVEL'],
    ['GC_GRACE_', 'GC_GRACE'],
    ['UPLOAD_EXPIRES', 'UPLOAD_EXPIRY'],
    ['MANIFEST_MAX_BYTE', 'MANIFEST_MAX_BYTES'],
    ['TAGS_PAGEMAX', 'TAGS_PAGE_MAX']
  ] as const) {
    const [problem] = problemsOf({ [name]: 'x' })
    t.match(problem, new RegExp(`^${name} is set, .*; allowed: ${meant}, `))
  }
  const unknown = { STORAGE_CLASS: 'fast', S3_BUCKET: 'b', AUTH_REALM: 'r', TLS_CERT: 'c', LOG_DIRECTORY: '/x' }
  t.strictSame(problemsOf(unknown), [])
  const warnings = configWarnings(unknown)
  t.strictSame(
    warnings.map(line => line.split(' ')[0]),
    Object.keys(unknown)
  )
  t.strictSame(configWarnings({ HOME: '/root', PATHS: 'x', PORTS: '1', npm_config_x: 'y', MY_STORAGE_PTH: 'z' }), [])
})

t.test('what Kubernetes sets for a Service is no setting', async t => {
  const env = {
    STORAGE_SERVICE_HOST: '10.0.0.1',
    STORAGE_SERVICE_PORT: '80',
    STORAGE_SERVICE_PORT_HTTP: '80',
    STORAGE_PORT: 'tcp://10.0.0.1:80',
    STORAGE_PORT_80_TCP: 'tcp://10.0.0.1:80',
    STORAGE_PORT_80_TCP_PROTO: 'tcp',
    STORAGE_PORT_80_TCP_PORT: '80',
    STORAGE_PORT_80_TCP_ADDR: '10.0.0.1',
    S3_PORT_53_UDP: 'udp://10.0.0.2:53',
    LOG_PORT: 'udp://10.0.0.2:53'
  }
  t.strictSame(problemsOf(env), [])
  t.strictSame(configWarnings(env), [])
  t.equal(configWarnings({ STORAGE_PORT: '80' }).length, 1, 'the form alone is not enough')
})

t.test('edit distance', async t => {
  for (const [a, b, distance] of [
    ['', '', 0],
    ['', 'abc', 3],
    ['kitten', 'sitting', 3],
    ['flaw', 'lawn', 2]
  ] as const) {
    t.equal(editDistance(a, b), distance)
  }
  const word = fc.string({ maxLength: 8 })
  fc.assert(
    fc.property(word, word, word, (a, b, c) => {
      const sameOnlyAtZero = (editDistance(a, b) === 0) === (a === b)
      const symmetric = editDistance(a, b) === editDistance(b, a)
      return sameOnlyAtZero && symmetric && editDistance(a, c) <= editDistance(a, b) + editDistance(b, c)
    })
  )
})

t.test('no text breaks the reading: it gives a value or a ConfigError', async t => {
  const env = fc.dictionary(fc.constantFrom(...variableNames), fc.oneof(fc.string(), fc.integer().map(String)))
  fc.assert(fc.property(env, env => problemsOf(env).every(line => line.includes('; allowed: '))))
  t.pass()
})

t.test("the documentation's table is the schema's", async t => {
  const file = readFileSync(new URL('../docs/configuration.md', import.meta.url), 'utf8')
  const table = file.match(/^\|.*\|$/gm)?.join('\n') ?? ''
  if (table !== configurationTable()) t.comment(`docs/configuration.md needs this table:\n${configurationTable()}`)
  t.equal(table, configurationTable())
  for (const variable of Object.values(ConfigSchema.properties)) t.match(variable.description, /^[A-Z].*\.$/)
})
