import { generateKeyPairSync } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { configurationFile, withTables } from '../build/docs.ts'
import { anonymousWritesLine } from '../src/anonymous-writes.ts'
import { editDistance } from '../src/config/names.ts'
import type { S3Settings } from '../src/config/s3.ts'
import { ConfigSchema, sections, type VariableName, variableNames } from '../src/config/schema.ts'
import { type Config, ConfigError, configWarnings, defaults, loadConfig } from '../src/config.ts'
import { checks } from './config/variables.ts'
import { createAuthority } from './support/certificates.ts'

/** The least that storage in S3 needs. */
const S3 = { STORAGE_DRIVER: 's3', S3_BUCKET: 'registry', S3_REGION: 'eu-central-1' }

/** A server of one's own. */
const MINIO = { STORAGE_DRIVER: 's3', S3_BUCKET: 'registry', S3_ENDPOINT: 'https://minio.internal:9000' }

function problemsOf(env: NodeJS.ProcessEnv): readonly string[] {
  try {
    loadConfig(env)
    return []
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
}

function fileWith(t: Test, name: string, text: string): string {
  const path = join(t.testdir(), name)
  writeFileSync(path, text)
  return path
}

t.test('an empty environment gives the defaults that users rely on', async t => {
  t.match(defaults, {
    port: 5000,
    host: '::',
    storageDriver: 'filesystem',
    storagePath: './registry-data',
    logLevel: 'info',
    logFormat: 'auto',
    logRequests: 'all',
    deleteEnabled: true,
    readOnly: false,
    immutableTags: [],
    quotas: [],
    corsOrigins: [],
    manifestMaxBytes: 4 * 2 ** 20,
    manifestAllowSparse: 'index',
    manifestSizeCheck: 'strict',
    manifestReferencesMax: 5000,
    tagsPageMax: 1000,
    uploadExpiryMs: 7 * 24 * 3600 * 1000,
    externalUrl: undefined,
    trustProxy: false,
    headersTimeoutMs: 60_000,
    idleTimeoutMs: 120_000,
    shutdownTimeoutMs: 30_000,
    openapiEnabled: true,
    gcGraceMs: 24 * 3600 * 1000,
    gcIntervalMs: 24 * 3600 * 1000,
    bufferMemoryBytes: 64 * 2 ** 20,
    cacheMemoryBytes: 64 * 2 ** 20,
    auditLog: undefined,
    workers: 1,
    workerTimeoutMs: 30_000,
    metricsPort: undefined,
    metricsEnabled: false
  })
})

t.test('values are read to what the program works with', async t => {
  const cases: [string, string, keyof Config, unknown][] = [
    ['PORT', '0', 'port', 0],
    ['PORT', ' 8080\r', 'port', 8080],
    ['WORKERS', '3', 'workers', 3],
    ['WORKER_TIMEOUT', '2m', 'workerTimeoutMs', 120_000],
    ['METRICS_PORT', '9100', 'metricsPort', 9100],
    ['METRICS', 'true', 'metricsEnabled', true],
    ['HOST', '127.0.0.1', 'host', '127.0.0.1'],
    ['HOST', '::1', 'host', '::1'],
    ['HOST', 'registry.internal', 'host', 'registry.internal'],
    ['STORAGE_PATH', '/srv/my data', 'storagePath', '/srv/my data'],
    ['STORAGE_TYPE', 'filesystem', 'storageDriver', 'filesystem'],
    ['LOG_LEVEL', 'DEBUG', 'logLevel', 'debug'],
    ['LOG_FORMAT', 'json', 'logFormat', 'json'],
    ['LOG_REQUESTS', 'errors', 'logRequests', 'errors'],
    ['READ_ONLY', 'yes', 'readOnly', true],
    ['IMMUTABLE_TAGS', 'v*, team/**:release-*', 'immutableTags', ['v*', 'team/**:release-*']],
    ['CORS_ALLOW_ORIGIN', 'https://a.example, http://b:3000', 'corsOrigins', ['https://a.example', 'http://b:3000']],
    ['MANIFEST_MAX_BYTES', '1048576', 'manifestMaxBytes', 1048576],
    ['MANIFEST_MAX_BYTES', '512KiB', 'manifestMaxBytes', 512 * 1024],
    ['MANIFEST_MAX_BYTES', '8 mib', 'manifestMaxBytes', 8 * 2 ** 20],
    ['MANIFEST_ALLOW_SPARSE', 'all', 'manifestAllowSparse', 'all'],
    ['MANIFEST_SIZE_CHECK', 'warn', 'manifestSizeCheck', 'warn'],
    ['MANIFEST_REFERENCES_MAX', '100', 'manifestReferencesMax', 100],
    ['TAGS_PAGE_MAX', '50', 'tagsPageMax', 50],
    ['UPLOAD_EXPIRY', '90s', 'uploadExpiryMs', 90_000],
    ['UPLOAD_EXPIRY', '15m', 'uploadExpiryMs', 900_000],
    ['HEADERS_TIMEOUT', '5s', 'headersTimeoutMs', 5000],
    ['IDLE_TIMEOUT', '10m', 'idleTimeoutMs', 600_000],
    ['KEEP_ALIVE_TIMEOUT', '4000s', 'keepAliveTimeoutMs', 4_000_000],
    ['MAX_HEADER_BYTES', '16KiB', 'maxHeaderBytes', 16_384],
    ['MAX_CONNECTIONS', '500', 'maxConnections', 500],
    ['SHUTDOWN_TIMEOUT', '0s', 'shutdownTimeoutMs', 0],
    ['SHUTDOWN_TIMEOUT', '0', 'shutdownTimeoutMs', 0],
    ['GC_GRACE', '1h', 'gcGraceMs', 3_600_000],
    ['GC_INTERVAL', '0', 'gcIntervalMs', 0],
    ['GC_INTERVAL', '7d', 'gcIntervalMs', 7 * 24 * 3_600_000],
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
    ['LOG_LEVEL', 'verbose'],
    ['LOG_FORMAT', 'text'],
    ['LOG_REQUESTS', 'some'],
    ['DELETE_ENABLED', 'maybe'],
    ['IMMUTABLE_TAGS', 'v*,'],
    ['IMMUTABLE_TAGS', 'Team:v*'],
    ['CORS_ALLOW_ORIGIN', 'ui.example.com'],
    ['CORS_ALLOW_ORIGIN', 'https://ui.example.com/'],
    ['MANIFEST_MAX_BYTES', '4MB'],
    ['MANIFEST_MAX_BYTES', '1KiB'],
    ['MANIFEST_MAX_BYTES', '1GiB'],
    ['MANIFEST_ALLOW_SPARSE', 'true'],
    ['MANIFEST_SIZE_CHECK', 'off'],
    ['MANIFEST_REFERENCES_MAX', '99'],
    ['TAGS_PAGE_MAX', '0'],
    ['UPLOAD_EXPIRY', '3600'],
    ['UPLOAD_EXPIRY', '0'],
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
    ['GC_INTERVAL', 'off'],
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
  for (const [section, variables] of Object.entries(sections)) {
    if (section === 'observability') continue
    const names = Object.keys(variables).filter(name => name !== 'STORAGE_PATH')
    const env = Object.fromEntries(names.map(name => [name, '?\n!']))
    const all = { ...env, ...(section === 's3' && { STORAGE_DRIVER: 's3' }) }
    const problems = problemsOf(all).filter(line => !line.startsWith('S3_KMS_KEY_ID is set'))
    t.strictSame(problems.map(line => line.split(' ')[0]).sort(), Object.keys(env).sort())
    t.notOk(problems.some(line => line.includes('\n')))
  }
})

t.test('15.26: each variable takes its default and other text, refuses a bad one, and has a test', async t => {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const folder = t.testdir({
    htpasswd: 'alice:$2y$05$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy',
    policy: 'rules: []',
    issuers: 'issuers: [{issuer: "https://ci.example", audience: registry, user: "ci:{sub}", required: {sub: a}}]',
    jwks: JSON.stringify({ keys: [publicKey.export({ format: 'jwk' })] }),
    nonsense: '?\n!'
  })
  const file = (name: string): string => join(folder, name)
  const authority = createAuthority(file('ca'))
  const { certFile, keyFile } = authority.issue('registry')
  const all = checks({
    ...{ htpasswd: file('htpasswd'), policy: file('policy'), issuers: file('issuers'), jwks: file('jwks') },
    ...{ certificate: certFile, key: keyFile, authority: authority.caFile, nonsense: file('nonsense') }
  })
  for (const [name, check] of Object.entries(all)) {
    const { default: preset, setting } = ConfigSchema.properties[name as VariableName]
    const unset = problemsOf(check.with ?? {}).length === 0 ? loadConfig(check.with ?? {}) : undefined
    if (preset !== '') t.strictSame(loadConfig({ ...check.with, [name]: preset }), unset, `${name}=${preset}`)
    t.notSame(loadConfig({ ...check.with, [name]: check.allowed }), unset, `${name}=${check.allowed} has an effect`)
    if (check.refused !== undefined) {
      const problems = problemsOf({ ...check.with, [name]: check.refused })
      const line = new RegExp(`^${name} is [^\\n]*; allowed: `)
      t.ok(
        problems.some(problem => line.test(problem)),
        `${name}=${check.refused}`
      )
    }
    const test = readFileSync(join(import.meta.dirname, check.effect), 'utf8')
    const words = check.as === undefined ? [name, setting ?? name] : [check.as]
    t.ok(
      words.some(word => new RegExp(`\\b${word}\\b`).test(test)),
      `${check.effect} tests what ${name} does`
    )
  }
})

t.test('15.26: each variable is in the changelog', async t => {
  const changelog = readFileSync(new URL('../CHANGELOG.md', import.meta.url), 'utf8')
  const missing = variableNames.filter(name => !new RegExp(`\\b${name}\\b`).test(changelog))
  t.strictSame(missing, [], 'a new variable needs a line in CHANGELOG.md')
})

t.test('traces can be turned off by the variables of OpenTelemetry', async t => {
  const collector = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318' }
  t.strictSame(loadConfig(collector).otlp, { url: 'http://collector:4318/v1/traces', serviceName: undefined })
  t.equal(loadConfig({ ...collector, OTEL_SDK_DISABLED: 'true' }).otlp, undefined)
  t.equal(loadConfig({ ...collector, OTEL_TRACES_EXPORTER: 'none' }).otlp, undefined)
})

t.test('STORAGE_TYPE is an alias: the same twice is fine, two different ones are not', async t => {
  t.strictSame(problemsOf({ STORAGE_DRIVER: 'filesystem', STORAGE_TYPE: 'filesystem' }), [])
  const [different] = problemsOf({ STORAGE_DRIVER: 'filesystem', STORAGE_TYPE: 's3' })
  t.match(different, /^STORAGE_DRIVER is "filesystem" and STORAGE_TYPE is "s3"; allowed: /)
  t.match(problemsOf({ STORAGE_TYPE: 'gcs' })[0], /^STORAGE_TYPE is "gcs"; allowed: /)
  t.equal(loadConfig({ ...S3, STORAGE_DRIVER: '', STORAGE_TYPE: 's3' }).storageDriver, 's3')
})

t.test('15.14: an unknown name of a security family and a near miss of any name stop the start', async t => {
  for (const [name, meant] of [
    ['AUTH_HTPASSWD_PATH', 'AUTH_HTPASSWD_FILE'],
    ['AUTH_USERS', 'AUTH_HTPASSWD_FILE'],
    ['AUTH_REALM', 'AUTH_TOKEN_REALM'],
    ['AUTH_POLICY', 'AUTH_POLICY_FILE'],
    ['TLS_CERTIFICATE', 'TLS_CERT_FILE'],
    ['TLS_CERT', 'TLS_CERT_FILE'],
    ['TLS_KEY', 'TLS_KEY_FILE'],
    ['S3_SKIP_VERIFY', 'S3_INSECURE_SKIP_VERIFY'],
    ['S3_ACCESS_KEY', 'AWS_ACCESS_KEY_ID'],
    ['S3_SECRET_KEY', 'AWS_SECRET_ACCESS_KEY'],
    ['S3_BUCKETS', 'S3_BUCKET'],
    ['S3_FORCE_PATHSTYLE', 'S3_FORCE_PATH_STYLE'],
    ['READONLY', 'READ_ONLY'],
    ['read_only', 'READ_ONLY'],
    ['DELETE_ENABLE', 'DELETE_ENABLED'],
    ['DELETES_ENABLED', 'DELETE_ENABLED'],
    ['IMMUTABLE_TAG', 'IMMUTABLE_TAGS'],
    ['TRUST_PROXIES', 'TRUST_PROXY'],
    ['METRIC_PORT', 'METRICS_PORT'],
    ['CORS_ALLOW_ORIGINS', 'CORS_ALLOW_ORIGIN'],
    ['STORAGE_PTH', 'STORAGE_PATH'],
    ['STORAGE_DIRVER', 'STORAGE_DRIVER'],
    ['LOG_LEVL', 'LOG_LEVEL'],
    ['GC_GRACE_', 'GC_GRACE'],
    ['UPLOAD_EXPIRES', 'UPLOAD_EXPIRY'],
    ['MANIFEST_MAX_BYTE', 'MANIFEST_MAX_BYTES'],
    ['TAGS_PAGEMAX', 'TAGS_PAGE_MAX'],
    ['ALLOW_UNKNOWN_VARIABLE', 'ALLOW_UNKNOWN_VARIABLES'],
    // the same words in another order or form
    ['ENABLE_DELETE', 'DELETE_ENABLED'],
    ['TRUSTED_PROXIES', 'TRUST_PROXY'],
    ['TRUSTED_PROXY', 'TRUST_PROXY'],
    ['TAGS_IMMUTABLE', 'IMMUTABLE_TAGS'],
    ['PATH_STORAGE', 'STORAGE_PATH'],
    // without the family
    ['HTPASSWD_FILE', 'AUTH_HTPASSWD_FILE'],
    ['HTPASSWD_PATH', 'AUTH_HTPASSWD_FILE'],
    ['REGISTRY_HTPASSWD', 'AUTH_HTPASSWD_FILE'],
    ['POLICY_FILE', 'AUTH_POLICY_FILE'],
    ['OIDC_FILE', 'AUTH_OIDC_FILE'],
    ['TOKEN_ISSUER', 'AUTH_TOKEN_ISSUER'],
    ['CERT_FILE', 'TLS_CERT_FILE'],
    ['CLIENT_CA_FILE', 'TLS_CLIENT_CA_FILE'],
    // a word more or less
    ['READ_ONLY_MODE', 'READ_ONLY'],
    ['ENABLE_READ_ONLY', 'READ_ONLY'],
    ['REGISTRY_READ_ONLY', 'READ_ONLY'],
    ['STORAGE_DELETE_ENABLED', 'DELETE_ENABLED'],
    ['REGISTRY_TRUST_PROXY', 'TRUST_PROXY'],
    ['IMMUTABLE', 'IMMUTABLE_TAGS']
  ] as const) {
    t.strictSame(problemsOf({ [name]: 'x' }), [
      `unknown variable ${name}: did you mean ${meant}?; allowed: ALLOW_UNKNOWN_VARIABLES=${name}, which ignores it`
    ])
    t.strictSame(problemsOf({ [name]: ' ' }), [], 'empty text sets nothing')
  }
  t.match(problemsOf({ S3_ACCOUNT: 'a' }), [/^unknown variable S3_ACCOUNT: docs\/configuration\.md lists /])
  t.strictSame(problemsOf({ S3_ACCOUNT: 'a', READONLY: 'x', ALLOW_UNKNOWN_VARIABLES: 'READONLY, S3_ACCOUNT' }), [])
  t.equal(problemsOf({ S3_ACCOUNT: 'a', READONLY: 'x', ALLOW_UNKNOWN_VARIABLES: 'READONLY' }).length, 1)

  const unknown = { STORAGE_CLASS: 'fast', LOG_DIRECTORY: '/x', METRICS_PREFIX: 'x', QUOTA: '1GiB' }
  t.strictSame(problemsOf(unknown), [], 'other families only warn')
  t.strictSame(
    configWarnings(unknown).map(line => line.split(' ')[0]),
    Object.keys(unknown)
  )
  t.strictSame(configWarnings({ ...unknown, ALLOW_UNKNOWN_VARIABLES: Object.keys(unknown).join(',') }), [])
})

t.test('15.14: what shells, CI systems, containers and services set is nothing of ours', async t => {
  const strangers = [
    // shells and terminals
    'PATH PATHS HOME HOSTNAME HOSTTYPE MACHTYPE LOGNAME USER SHELL SHLVL PWD OLDPWD LANG LC_ALL LC_TIME TERM COLORTERM _',
    'EDITOR PAGER DISPLAY SSH_AUTH_SOCK SSH_CONNECTION XDG_RUNTIME_DIR XDG_CACHE_HOME TMPDIR TZ MAIL LS_COLORS PS1 IFS',
    'PORTS PROXY HTTP_PROXY HTTPS_PROXY NO_PROXY ALL_PROXY http_proxy https_proxy no_proxy FTP_PROXY SSL_CERT_FILE SSL_CERT_DIR',
    // Node.js and npm
    'NODE_ENV NODE_OPTIONS NODE_EXTRA_CA_CERTS NODE_VERSION NODE_PATH YARN_VERSION npm_config_registry npm_config_cache',
    'npm_package_name npm_lifecycle_event npm_execpath npm_node_execpath NPM_TOKEN INIT_CWD UV_THREADPOOL_SIZE',
    // CI systems
    'CI GITHUB_ACTIONS GITHUB_TOKEN GITHUB_REPOSITORY RUNNER_OS RUNNER_TEMP ACTIONS_CACHE_URL GITLAB_CI CI_REGISTRY',
    'CI_REGISTRY_PASSWORD CI_JOB_TOKEN CI_PROJECT_DIR JENKINS_URL BUILD_NUMBER BUILD_ID WORKSPACE EXECUTOR_NUMBER TRAVIS',
    'CIRCLECI BUILDKITE TEAMCITY_VERSION TF_BUILD AGENT_ID BITBUCKET_COMMIT DRONE DEBUG VERBOSE',
    // Docker, Kubernetes, systemd and clouds
    'DOCKER_HOST DOCKER_CONFIG COMPOSE_PROJECT_NAME container KUBERNETES_SERVICE_HOST KUBERNETES_PORT POD_NAME POD_IP',
    'NODE_NAME POD_NAMESPACE INVOCATION_ID JOURNAL_STREAM LISTEN_FDS LISTEN_PID NOTIFY_SOCKET WATCHDOG_USEC MAINPID',
    'STATE_DIRECTORY CACHE_DIRECTORY LOGS_DIRECTORY RUNTIME_DIRECTORY CONFIGURATION_DIRECTORY CREDENTIALS_DIRECTORY',
    'AWS_PROFILE AWS_REGION AWS_DEFAULT_REGION AWS_ROLE_ARN AWS_WEB_IDENTITY_TOKEN_FILE AWS_EXECUTION_ENV AWS_SDK_LOAD_CONFIG',
    'AWS_ENDPOINT_URL_SQS AWS_ENDPOINT_URL_SNS AWS_ENDPOINT_URL_STS AWS_CONTAINER_CREDENTIALS_RELATIVE_URI AWS_CA_BUNDLE',
    'GOOGLE_APPLICATION_CREDENTIALS AZURE_CLIENT_ID DYNO FLY_APP_NAME RENDER VERCEL K_SERVICE WEBSITE_SITE_NAME',
    'OTEL_EXPORTER_OTLP_HEADERS OTEL_EXPORTER_OTLP_PROTOCOL OTEL_EXPORTER_OTLP_METRICS_ENDPOINT OTEL_METRICS_EXPORTER',
    'OTEL_EXPORTER_OTLP_LOGS_ENDPOINT OTEL_LOGS_EXPORTER OTEL_RESOURCE_ATTRIBUTES OTEL_TRACES_SAMPLER OTEL_LOG_LEVEL',
    // settings of other programs
    'INTERNAL_URL DATABASE_URL REDIS_URL SECRET_KEY_BASE DEBUG_PORT WEB_CONCURRENCY WORKER HOSTS MINIO_ROOT_USER',
    'MY_STORAGE_PTH MEMORY_LIMIT THREADS DB_READ_ONLY POSTGRES_READ_ONLY REDIS_READ_ONLY DEBUG_MODE MAINTENANCE_MODE',
    'POSTGRES_PASSWORD_FILE MYSQL_ROOT_PASSWORD_FILE SSL_KEY_FILE SECRET_KEY_FILE SSH_KEY_FILE PASSWORD_FILE PID_FILE',
    'ENABLE_IPV6 ENABLE_METRICS PROXY_MODE TRUST_STORE JAVA_TRUST_STORE IMAGE_TAG TAG TAGS POLICY TOKEN TOKEN_URL USERS',
    'DELETE ONLY FILE BYTES ENABLED VAULT_TOKEN SENTRY_ENVIRONMENT HTTP_SERVER SERVER_MODE CLIENT_ID CLIENT_SECRET KEY_ID'
  ].flatMap(line => line.split(' '))
  // As a port, an address or a word would be: nothing depends on what they hold.
  const env = Object.fromEntries(strangers.map(name => [name, 'x']))
  delete env.AWS_REGION
  delete env.AWS_DEFAULT_REGION
  t.strictSame(problemsOf(env), [])
  t.strictSame(configWarnings(env), [])

  for (const service of [
    'AUTH',
    'TLS',
    'S3',
    'STORAGE',
    'READ_ONLY',
    'TLS_CERT',
    'AUTH_HTPASSWD',
    'REGISTRY',
    'REGISTRY_AUTH'
  ]) {
    const links = {
      [`${service}_SERVICE_HOST`]: '10.0.0.1',
      [`${service}_SERVICE_PORT`]: '5000',
      [`${service}_SERVICE_PORT_HTTP`]: '5000',
      [`${service}_PORT`]: 'tcp://10.0.0.1:5000',
      [`${service}_PORT_5000_TCP`]: 'tcp://10.0.0.1:5000',
      [`${service}_PORT_5000_TCP_PROTO`]: 'tcp',
      [`${service}_PORT_5000_TCP_PORT`]: '5000',
      [`${service}_PORT_5000_TCP_ADDR`]: '10.0.0.1'
    }
    t.strictSame([...problemsOf(links), ...configWarnings(links)], [], service)
  }
})

t.test('15.14: no environment takes many steps to look through', async t => {
  const long = { [`AUTH_${'A'.repeat(100_000)}`]: 'x', [`READ_ONLY${'_'.repeat(100_000)}`]: 'x' }
  t.strictSame(problemsOf({ ['E_'.repeat(50_000)]: 'x', [`LOG${'E'.repeat(100_000)}`]: 'x' }), [])
  t.equal(problemsOf(long).length, 2, 'a name of any length is compared with those of about its length alone')
})

t.test('15.14: the log says in words who may write without a login, and where', async t => {
  const folder = t.testdir({
    open: 'rules: [{anonymous: true, repositories: ["public/**"], actions: [pull, push]}]',
    closed: 'rules: [{users: ["*"], repositories: ["**"], actions: ["*"]}]'
  })
  const policy = (name: string) => ({
    ...defaults,
    access: { anonymous: 'none' as const, policyFile: join(folder, name) }
  })
  const all = 'may pull, push and delete (docs/access.md)'
  for (const [config, line] of [
    [defaults, `there is no access control: anybody who reaches port 5000 on any address of this machine ${all}`],
    [{ ...defaults, host: '::1' }, `there is no access control: anybody who reaches [::1]:5000 ${all}`],
    [
      { ...defaults, host: '127.0.0.1', deleteEnabled: false },
      'there is no access control: anybody who reaches 127.0.0.1:5000 may pull and push (docs/access.md)'
    ],
    [{ ...defaults, readOnly: true }, undefined],
    [{ ...defaults, access: { anonymous: 'pull' as const } }, undefined],
    [policy('closed'), undefined],
    [
      policy('open'),
      'AUTH_POLICY_FILE lets anybody who reaches port 5000 on any address of this machine push in some repositories, without a login'
    ]
  ] as const) {
    t.equal(anonymousWritesLine(config, 5000), line)
  }
})

t.test('storage in S3: the defaults, on AWS and on another server', async t => {
  const aws = loadConfig(S3)
  t.strictSame(aws, {
    ...defaults,
    storageDriver: 's3',
    metadataTtlMs: 0,
    s3: {
      bucket: 'registry',
      region: 'eu-central-1',
      endpoint: undefined,
      prefix: undefined,
      forcePathStyle: false,
      insecureSkipVerify: false,
      caFile: undefined,
      credentials: undefined,
      partSize: 8 * 2 ** 20,
      partGrowth: true,
      sse: undefined,
      kmsKeyId: undefined,
      storageClass: undefined,
      maxSockets: 256
    }
  })
  const { endpoint, region, forcePathStyle } = loadConfig(MINIO).s3!
  t.strictSame(
    { endpoint, region, forcePathStyle },
    { endpoint: MINIO.S3_ENDPOINT, region: 'us-east-1', forcePathStyle: true }
  )
  t.equal('s3' in defaults, false, 'there exactly when the driver is s3')
})

t.test('storage in S3: values are read to what the driver takes', async t => {
  const cases: [NodeJS.ProcessEnv, Partial<S3Settings>][] = [
    [{ S3_BUCKET: 'arn:aws:s3:eu-central-1:1:accesspoint/a' }, { bucket: 'arn:aws:s3:eu-central-1:1:accesspoint/a' }],
    [{ S3_PREFIX: 'team/registry' }, { prefix: 'team/registry/' }],
    [{ S3_PREFIX: 'registry/' }, { prefix: 'registry/' }],
    [
      { S3_FORCE_PATH_STYLE: 'false', S3_ENDPOINT: 'http://s3.internal/' },
      { forcePathStyle: false, endpoint: 'http://s3.internal' }
    ],
    [{ S3_FORCE_PATH_STYLE: 'true' }, { forcePathStyle: true }],
    [{ S3_INSECURE_SKIP_VERIFY: 'true' }, { insecureSkipVerify: true }],
    [
      { AWS_ACCESS_KEY_ID: 'id', AWS_SECRET_ACCESS_KEY: 'a+b/c=' },
      { credentials: { accessKeyId: 'id', secretAccessKey: 'a+b/c=' } }
    ],
    [
      { AWS_ACCESS_KEY_ID: 'id', AWS_SECRET_ACCESS_KEY: 'secret', AWS_SESSION_TOKEN: 'token' },
      { credentials: { accessKeyId: 'id', secretAccessKey: 'secret', sessionToken: 'token' } }
    ],
    [
      { S3_PART_SIZE: '5GiB', S3_PART_GROWTH: 'false' },
      { partSize: 5 * 2 ** 30, partGrowth: false }
    ],
    [{ S3_SSE: 'aes256' }, { sse: 'AES256' }],
    [
      { S3_SSE: 'aws:kms:dsse', S3_KMS_KEY_ID: 'alias/registry' },
      { sse: 'aws:kms:dsse', kmsKeyId: 'alias/registry' }
    ],
    [{ S3_STORAGE_CLASS: 'GLACIER_IR' }, { storageClass: 'GLACIER_IR' }],
    // What the SDK's variables say counts where ours say nothing.
    [{ S3_REGION: '', AWS_REGION: 'eu-west-1', AWS_DEFAULT_REGION: 'eu-west-2' }, { region: 'eu-west-1' }],
    [{ S3_REGION: '', AWS_DEFAULT_REGION: 'eu-west-2' }, { region: 'eu-west-2' }],
    [{ AWS_REGION: 'eu-west-1' }, { region: 'eu-central-1' }],
    [{ ...MINIO, S3_REGION: '', AWS_REGION: 'auto' }, { region: 'auto' }],
    [
      { AWS_ENDPOINT_URL: 'http://all.internal', AWS_ENDPOINT_URL_S3: 'http://s3.internal' },
      { endpoint: 'http://s3.internal', forcePathStyle: true }
    ],
    [{ AWS_ENDPOINT_URL: 'http://all.internal', AWS_IGNORE_CONFIGURED_ENDPOINT_URLS: 'true' }, { endpoint: undefined }]
  ]
  for (const [env, settings] of cases) t.match(loadConfig({ ...S3, ...env }).s3, settings, JSON.stringify(env))

  t.equal(loadConfig(S3).metadataTtlMs, 0)
  t.equal(loadConfig({ ...S3, S3_METADATA_TTL: '30s' }).metadataTtlMs, 30_000)
  t.equal(loadConfig({ ...S3, S3_REDIRECT_EXPIRY: '1h' }).redirectExpiryMs, undefined)
  t.equal(loadConfig({ ...S3, S3_REDIRECT: 'true' }).redirectExpiryMs, 900_000)
  t.equal(loadConfig({ ...S3, S3_REDIRECT: 'true', S3_REDIRECT_EXPIRY: '1h' }).redirectExpiryMs, 3_600_000)
})

t.test('storage in S3: what is missing or does not fit is one line', async t => {
  const certificate = fileWith(t, 'a.pem', '-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n')
  const cases: [NodeJS.ProcessEnv, RegExp][] = [
    [{ S3_BUCKET: '' }, /^S3_BUCKET is not set,/],
    [{ S3_BUCKET: 's3://registry' }, /^S3_BUCKET is "/],
    [{ S3_BUCKET: 'registry/team' }, /^S3_BUCKET is "/],
    [{ S3_REGION: '' }, /^S3_REGION is not set, nor is AWS_REGION; allowed: the bucket's region, or S3_ENDPOINT/],
    [{ S3_REGION: '', AWS_REGION: 'eu west' }, /^AWS_REGION is "eu west"; allowed: /],
    [{ S3_ENDPOINT: 'minio:9000' }, /^S3_ENDPOINT is "/],
    [{ AWS_ENDPOINT_URL_S3: 'minio' }, /^AWS_ENDPOINT_URL_S3 is "/],
    [{ S3_PREFIX: '/registry' }, /^S3_PREFIX is "/],
    [{ S3_PREFIX: '/' }, /^S3_PREFIX is "/],
    [{ S3_PREFIX: 'a//b' }, /^S3_PREFIX is "/],
    [{ S3_PREFIX: 'a/../b' }, /^S3_PREFIX is "/],
    [{ S3_PREFIX: 'régistre' }, /^S3_PREFIX is "/],
    [{ S3_PREFIX: 'a/'.repeat(200) }, /^S3_PREFIX is "/],
    [
      { S3_CA_FILE: '/nowhere/ca.pem' },
      /^S3_CA_FILE is "\/nowhere\/ca.pem": it can't be read \(ENOENT\); allowed: a file that/
    ],
    [{ S3_CA_FILE: fileWith(t, 'a.txt', 'no certificate') }, /^S3_CA_FILE is "/],
    [{ S3_CA_FILE: certificate }, /^S3_CA_FILE is "/],
    [{ AWS_ACCESS_KEY_ID: 'id' }, /^AWS_ACCESS_KEY_ID is set and AWS_SECRET_ACCESS_KEY is not;/],
    [{ AWS_SECRET_ACCESS_KEY: 'secret' }, /^AWS_SECRET_ACCESS_KEY is set and AWS_ACCESS_KEY_ID is not;/],
    [{ AWS_SESSION_TOKEN: 'token' }, /^AWS_SESSION_TOKEN is set /],
    [{ S3_REDIRECT_EXPIRY: '8d' }, /^S3_REDIRECT_EXPIRY is "/],
    [{ S3_PART_SIZE: '4MiB' }, /^S3_PART_SIZE is "/],
    [{ S3_PART_SIZE: '6GiB' }, /^S3_PART_SIZE is "/],
    [{ S3_SSE: 'kms' }, /^S3_SSE is "/],
    [{ S3_KMS_KEY_ID: 'k' }, /^S3_KMS_KEY_ID is set; allowed: only with/],
    [{ S3_KMS_KEY_ID: 'k', S3_SSE: 'AES256' }, /^S3_KMS_KEY_ID is set; allowed: only with/],
    [{ S3_STORAGE_CLASS: 'DEEP_ARCHIVE' }, /^S3_STORAGE_CLASS is "/],
    [{ S3_MAX_SOCKETS: '1' }, /^S3_MAX_SOCKETS is "/],
    [{ S3_METADATA_TTL: '2h' }, /^S3_METADATA_TTL is "/]
  ]
  for (const [env, line] of cases) {
    const problems = problemsOf({ ...S3, ...env })
    t.equal(problems.length, 1, JSON.stringify(env))
    t.match(problems[0], line)
    t.match(problems[0], /^[^\n]*; allowed: [^\n]+$/)
  }
})

t.test('access control: what is missing or does not fit is one line', async t => {
  const folder = t.testdir({
    good: 'alice:$2y$05$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy',
    sha: '\nbob:{SHA}qU',
    policy: 'rules: x',
    rules: 'rules: []'
  })
  const good = join(folder, 'good')
  t.strictSame(loadConfig({ AUTH_HTPASSWD_FILE: good }).access, {
    htpasswdFile: good,
    policyFile: undefined,
    anonymous: 'none'
  })
  t.strictSame(loadConfig({ AUTH_ANONYMOUS: 'pull' }).access, {
    htpasswdFile: undefined,
    policyFile: undefined,
    anonymous: 'pull'
  })
  t.match(loadConfig({ AUTH_ROBOT_TOKENS: 'true', AUTH_ANONYMOUS: 'none' }).access, { robots: true, anonymous: 'none' })
  t.match(loadConfig({ AUTH_ROBOT_TOKENS: 'true' }).access, { robots: true, htpasswdFile: undefined })
  t.equal('access' in defaults, false, 'there exactly when something of it is set')
  const cases: [NodeJS.ProcessEnv, RegExp][] = [
    [{ AUTH_HTPASSWD_FILE: '/nowhere/x' }, /^AUTH_HTPASSWD_FILE is "\/nowhere\/x": it can't be read \(ENOENT\);/],
    [{ AUTH_HTPASSWD_FILE: join(folder, 'sha') }, /^AUTH_HTPASSWD_FILE is "[^"]*": line 2: the hash is not/],
    [{ AUTH_HTPASSWD_FILE: good, AUTH_ANONYMOUS: 'push' }, /^AUTH_ANONYMOUS is "push"/],
    [{ AUTH_POLICY_FILE: '/nowhere/x' }, /^AUTH_POLICY_FILE is "\/nowhere\/x": it can't be read \(ENOENT\);/],
    [{ AUTH_POLICY_FILE: join(folder, 'policy') }, /^AUTH_POLICY_FILE is "[^"]*": line 1: rules can't be used;/],
    [
      { AUTH_POLICY_FILE: join(folder, 'rules'), AUTH_ANONYMOUS: 'pull' },
      /^AUTH_ANONYMOUS is "pull" beside AUTH_POLICY_FILE;/
    ],
    [{ AUTH_ANONYMOUS: 'none' }, /^AUTH_ANONYMOUS is "none", and nobody could log in/]
  ]
  for (const [env, line] of cases) {
    const problems = problemsOf(env)
    t.equal(problems.length, 1, JSON.stringify(env))
    t.match(problems[0], line)
    t.match(problems[0], /^[^\n]*; allowed: [^\n]+$/)
  }
})

t.test('limits: a number of requests in a time', async t => {
  t.equal(loadConfig({}).limits, undefined)
  for (const [text, rate] of [
    ['600/1m', { requests: 600, perMs: 60_000 }],
    [' 1 / 1s ', { requests: 1, perMs: 1000 }],
    ['20/1D', { requests: 20, perMs: 24 * 3600e3 }]
  ] as const) {
    const limits = { perAddress: rate, perUser: undefined, uploads: 0, uploadSessions: 0 }
    t.strictSame(loadConfig({ RATE_LIMIT_PER_ADDRESS: text }).limits, limits, text)
  }
  t.match(loadConfig({ UPLOADS_PER_USER: '5' }).limits, { uploads: 5, perUser: undefined })
  for (const text of ['600', '600/', '/1m', '0/1m', '600/0', '600/60', '600/2d', '6e2/1m', '-1/1m', '600/1m/2']) {
    const [problem] = problemsOf({ RATE_LIMIT_PER_USER: text })
    t.match(problem, /^RATE_LIMIT_PER_USER is "[^"]*"; allowed: a number of requests, `\/`, and from 1s to 1d/, text)
  }
})

t.test('quotas: a size for each pattern', async t => {
  t.strictSame(loadConfig({ QUOTA_BYTES: 'team/*=10GiB, a/**b=0 ,**=2TiB' }).quotas, [
    { pattern: 'team/*', bytes: 10 * 2 ** 30 },
    { pattern: 'a/**b', bytes: 0 },
    { pattern: '**', bytes: 2 * 2 ** 40 }
  ])
  for (const text of ['10GiB', 'a=', '=1GiB', 'a=1GB', 'A=1GiB', 'a=1GiB,', 'a=1=2', 'a=b', 'a = 1 GiB b']) {
    t.match(
      problemsOf({ QUOTA_BYTES: text }),
      [/^QUOTA_BYTES is "[^"]*"; allowed: patterns of repositories, each/],
      text
    )
  }
})

t.test('TLS: what is missing or does not fit is one line', async t => {
  const authority = createAuthority(join(t.testdir({}), 'ca'))
  const [one, other] = [authority.issue('one'), authority.issue('other')]
  const good = { TLS_CERT_FILE: one.certFile, TLS_KEY_FILE: one.keyFile }
  const files = { certFile: one.certFile, keyFile: one.keyFile }
  t.strictSame(loadConfig(good).tls, { ...files, clientCaFile: undefined })
  const mutual = loadConfig({ ...good, TLS_CLIENT_CA_FILE: authority.caFile })
  t.strictSame(mutual.tls, { ...files, clientCaFile: authority.caFile })
  t.match(mutual.access, { anonymous: 'none', certificates: true }, 'certificates of clients are access control')
  t.equal(loadConfig(good).access, undefined)
  t.equal('tls' in defaults, false)
  const cases: [NodeJS.ProcessEnv, RegExp][] = [
    [{ TLS_CERT_FILE: one.certFile }, /^TLS_CERT_FILE is set and TLS_KEY_FILE is not/],
    [{ TLS_KEY_FILE: one.keyFile }, /^TLS_KEY_FILE is set and TLS_CERT_FILE is not/],
    [{ TLS_CLIENT_CA_FILE: authority.caFile }, /^TLS_CLIENT_CA_FILE is set without TLS/],
    [{ ...good, TLS_KEY_FILE: one.certFile }, /^TLS_KEY_FILE is "/],
    [{ ...good, TLS_CERT_FILE: one.keyFile }, /^TLS_CERT_FILE is "/],
    [{ ...good, TLS_KEY_FILE: other.keyFile }, /^TLS_KEY_FILE is "[^"]*": it can't be used with the certificate \(ERR_/]
  ]
  for (const [env, line] of cases) {
    const problems = problemsOf(env)
    t.equal(problems.length, 1, JSON.stringify(env))
    t.match(problems[0], line)
    t.match(problems[0], /^[^\n]*; allowed: [^\n]+$/)
  }
})

t.test('no secret is in a problem or a warning', async t => {
  const word = fc.string({ minLength: 1, maxLength: 12, unit: 'binary-ascii' })
  const env = fc.record({
    STORAGE_DRIVER: fc.constantFrom('s3', 'filesystem'),
    S3_BUCKET: fc.constantFrom('registry', ''),
    S3_ENDPOINT: word.map(word => `https://user:hush${word}hush@minio:9000`),
    AWS_ACCESS_KEY_ID: fc.option(
      word.map(word => `hush${word}`),
      { nil: undefined }
    ),
    AWS_SECRET_ACCESS_KEY: fc.option(
      word.map(word => `hush${word}`),
      { nil: undefined }
    ),
    AWS_SESSION_TOKEN: fc.option(
      word.map(word => `hush${word}`),
      { nil: undefined }
    )
  })
  fc.assert(fc.property(env, env => ![...problemsOf(env), ...configWarnings(env)].some(line => line.includes('hush'))))
  t.equal(problemsOf({ ...S3, AWS_ACCESS_KEY_ID: 'a b', AWS_SECRET_ACCESS_KEY: 'hush hush' }).length, 2)
})

t.test('variables of S3 that have no effect are named in a warning', async t => {
  const idle = configWarnings({ ...S3, STORAGE_DRIVER: 'filesystem', S3_PART_SIZE: 'nonsense', AWS_REGION: 'x' })
  t.strictSame(idle, ['S3_BUCKET, S3_REGION, S3_PART_SIZE: no effect while STORAGE_DRIVER is "filesystem"'])
  t.strictSame(problemsOf({ S3_PART_SIZE: 'nonsense', AWS_ACCESS_KEY_ID: 'id' }), [], 'nothing is read from them')
  t.strictSame(configWarnings(S3), [])
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

t.test("15.26: the documentation's tables are the schema's", async t => {
  const file = readFileSync(configurationFile, 'utf8')
  t.equal(file, withTables(file), '`npm run docs` writes them')
  t.throws(() => withTables(file.replace('npm run docs: tls', '')), /needs a line "<!-- npm run docs: tls -->"/)
  t.throws(() => withTables(file.replace('npm run docs: tls', 'npm run docs: s3')), /there is no table "s3"/)
  for (const variable of Object.values(ConfigSchema.properties)) t.match(variable.description, /^[A-Z].*\.$/)
})
