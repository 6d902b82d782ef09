import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { addGc } from '../src/cli/gc.ts'
import { addRepository } from '../src/cli/repository.ts'
import { addToken } from '../src/cli/token.ts'
import { addUploads } from '../src/cli/uploads.ts'
import { addVerify } from '../src/cli/verify.ts'
import { readTls } from '../src/config/tls.ts'
import { loadConfig } from '../src/config.ts'
import { listen } from '../src/listening.ts'
import { build } from '../src/running.ts'
import { attempt } from '../src/storage/filesystem/probe.ts'
import { createAuthority } from './support/certificates.ts'
import { type Client, createClient, overInject, parse } from './support/client.ts'
import { runCommand } from './support/commands.ts'
import { run } from './support/server.ts'

/** Somebody else, where the tests run as root, whom no permission stops. */
const OTHER = 10001
const isRoot = process.geteuid?.() === 0

/** Runs `work` as a user whom permissions bind. */
async function unprivileged<T>(work: () => Promise<T>): Promise<T> {
  if (!isRoot) return work()
  process.seteuid!(OTHER)
  try {
    return await work()
  } finally {
    process.seteuid!(0)
  }
}

/** What a start says that fails, as src/cli.ts prints it. */
async function failureOf(env: NodeJS.ProcessEnv): Promise<string> {
  try {
    const config = loadConfig({ LOG_LEVEL: 'silent', HOST: '127.0.0.1', PORT: '0', ...env })
    const app = await build(config, undefined)
    await listen(app, config).finally(() => app.close())
  } catch (error) {
    const { name, message } = error as Error
    return ['ConfigError', 'StartError'].includes(name) ? message : `${name}, which has no line: ${message}`
  }
  return 'it started'
}

/** A folder that anybody may pass through, which those of tap need not be. */
function scratch(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'marina-start-'))
  t.teardown(() => rmSync(path, { recursive: true, force: true }))
  chmodSync(path, 0o755)
  return path
}

async function portOf(t: Test, server: Server): Promise<number> {
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done))
  t.teardown(() => server.close())
  return (server.address() as AddressInfo).port
}

t.test('15.20: each start that fails says why in one line', async t => {
  const folder = scratch(t)
  const at = (name: string): string => join(folder, name)
  for (const [name, text] of [
    ['file', ''],
    ['policy', 'rules: x'],
    ['jwks', '{"keys": [{"kty": "none"}]}'],
    ['json', 'no'],
    ['sha', 'bob:{SHA}qU']
  ] as const) {
    writeFileSync(at(name), text)
  }
  const authority = createAuthority(at('ca'))
  const [one, other] = [authority.issue('one'), authority.issue('other')]
  const issuer = { AUTH_TOKEN_ISSUER: 'a', AUTH_TOKEN_REALM: 'https://a/t', AUTH_TOKEN_SERVICE: 'r' }
  const taken = await portOf(t, createServer())
  const cases: [what: string, env: NodeJS.ProcessEnv, line: RegExp][] = [
    [
      'a port that is taken',
      { PORT: `${taken}`, STORAGE_PATH: at('a') },
      /^PORT is \d+, where another program listens; /
    ],
    ['an address of another machine', { HOST: '192.0.2.1', STORAGE_PATH: at('a') }, /^HOST is "192.0.2.1"; allowed: /],
    [
      'a folder that is a file',
      { STORAGE_PATH: at('file') },
      /^STORAGE_PATH is .* \(ENOTDIR: a part of the path is a file\); /
    ],
    [
      'a folder below a file',
      { STORAGE_PATH: at('file/x') },
      /^STORAGE_PATH is .* \(ENOTDIR: a part of the path is a file\); /
    ],
    [
      'no htpasswd',
      { AUTH_HTPASSWD_FILE: at('none') },
      /^AUTH_HTPASSWD_FILE is .*: it can't be read \(ENOENT\); allowed: /
    ],
    ['an htpasswd without bcrypt', { AUTH_HTPASSWD_FILE: at('sha') }, /^AUTH_HTPASSWD_FILE is .*: line 1: the hash /],
    [
      'a policy that is none',
      { AUTH_POLICY_FILE: at('policy') },
      /^AUTH_POLICY_FILE is .*: line 1: rules can't be used/
    ],
    [
      'a JWK set without keys',
      { ...issuer, AUTH_TOKEN_JWKS: at('jwks') },
      /^AUTH_TOKEN_JWKS is .*; allowed: a JWK set /
    ],
    [
      'a JWK set that is no JSON',
      { ...issuer, AUTH_TOKEN_JWKS: at('json') },
      /^AUTH_TOKEN_JWKS is .*: it is no JSON; /
    ],
    [
      'the key of another certificate',
      { TLS_CERT_FILE: one.certFile, TLS_KEY_FILE: other.keyFile },
      /^TLS_KEY_FILE is .*: it can't be used with the certificate \(ERR_/
    ],
    [
      'no key',
      { TLS_CERT_FILE: one.certFile, TLS_KEY_FILE: at('none') },
      /^TLS_KEY_FILE is .*: it can't be read \(ENOENT\); allowed: /
    ]
  ]
  if (process.platform === 'linux') {
    cases.push([
      'a folder that is never made',
      { STORAGE_PATH: '/proc/x' },
      /^STORAGE_PATH is "\/proc\/x": .*cannot be made/
    ])
  }
  for (const [what, env, line] of cases) {
    const failure = await failureOf(env)
    t.match(failure, line, what)
    t.match(failure, /^[^\n]+; allowed: [^\n]+$/, `${what}: one line that says what is allowed`)
  }
})

t.test('15.20: what this user may not do is said with the user, the owner and the mode', async t => {
  const folder = scratch(t)
  const at = (name: string): string => join(folder, name)
  for (const name of ['closed', 'locked']) mkdirSync(at(name))
  const { certFile, keyFile } = createAuthority(at('ca')).issue('one')
  writeFileSync(at('secret'), 'x')
  writeFileSync(at('users'), '')
  for (const name of ['closed', 'secret', 'users']) chmodSync(at(name), 0)
  chmodSync(keyFile, 0)
  chmodSync(at('locked'), 0o555)
  chmodSync(at('ca'), 0o755)
  const tls = { TLS_CERT_FILE: certFile, TLS_KEY_FILE: keyFile }
  const user = isRoot ? OTHER : process.geteuid!()
  const s3 = { STORAGE_DRIVER: 's3', S3_BUCKET: 'images', S3_REGION: 'eu', AWS_ACCESS_KEY_ID: 'id' }
  for (const [env, line] of [
    [{ STORAGE_PATH: at('closed') }, `cannot be read (EACCES: ${at('closed')} belongs to user `],
    [{ STORAGE_PATH: at('closed/below') }, `(EACCES: ${at('closed')} belongs to user `],
    [{ STORAGE_PATH: at('locked') }, `cannot be written to (EACCES: ${at('locked')} belongs to user `],
    [{ STORAGE_PATH: at('locked/below') }, `cannot be made (EACCES: ${at('locked')} belongs to user `],
    [tls, `TLS_KEY_FILE is "${keyFile}": it can't be read (EACCES, as user ${user}); allowed: `],
    [{ AUTH_HTPASSWD_FILE: at('users') }, `: it can't be read (EACCES, as user ${user}); allowed: `],
    [{ ...s3, AWS_SECRET_ACCESS_KEY_FILE: at('secret') }, `: it can't be read (EACCES, as user ${user}); allowed: `]
  ] as const) {
    const failure = await unprivileged(() => failureOf(env))
    t.ok(failure.includes(line), `${line} | ${failure}`)
    t.match(failure, /^[^\n]+; allowed: [^\n]+$/)
    if ('STORAGE_PATH' in env) t.match(failure, new RegExp(`has mode \\d+, this process runs as user ${user}\\); `))
  }
  t.throws(() => readTls({ certFile, keyFile: at('none') }), /^TLS_KEY_FILE is /, 'a renewal too')
})

t.test('15.20: a port that is taken is one line and nothing before it, whichever of the two ports it is', async t => {
  const taken = String(await portOf(t, createServer()))
  for (const WORKERS of ['1', '2']) {
    for (const [variable, other] of [
      ['METRICS_PORT', 'PORT'],
      ['PORT', 'METRICS_PORT']
    ] as const) {
      const env = { HOST: '127.0.0.1', STORAGE_PATH: join(scratch(t), 'a'), WORKERS, [variable]: taken, [other]: '0' }
      const running = run(t, env)
      t.equal(await running.exited, 1, `${variable} ${WORKERS}`)
      t.equal(running.err, `${variable} is ${taken}, where another program listens; allowed: any free port\n`)
      t.equal(running.out, '', 'no line says that it listens')
    }
  }
})

t.test('15.20: a full and a read-only disk are named as such', async t => {
  for (const [code, reason] of [
    ['EROFS', 'it is mounted read-only'],
    ['ENOSPC', 'the disk is full'],
    ['EDQUOT', 'the quota of this user is used up']
  ] as const) {
    const fail = async () => {
      throw Object.assign(new Error(code), { code })
    }
    const message = `The folder /x cannot be written to (${code}: ${reason}).`
    await t.rejects(attempt('The folder /x cannot be written to', '/x', fail), { name: 'StorageError', message })
  }
})

t.test('15.20: each bucket that can not be used is one line that names the variable', async t => {
  const authority = createAuthority(join(scratch(t), 'ca'))
  const { certFile, keyFile } = authority.issue('127.0.0.1')
  const { cert, key } = readTls({ certFile, keyFile })
  const refusing = (code: string, status: number) =>
    createHttpServer((_, response) => {
      response.writeHead(status, { 'Content-Type': 'application/xml' })
      response.end(`<Error><Code>${code}</Code><Message>no</Message></Error>`)
    })
  const text = createHttpServer((_, response) => response.writeHead(400).end('this port speaks HTTPS'))
  for (const [what, server, scheme, line] of [
    [
      'a bucket that is missing',
      refusing('NoSuchBucket', 404),
      'http',
      /^The bucket images does not exist: .* S3_BUCKET\.$/
    ],
    ['an unknown key', refusing('InvalidAccessKeyId', 403), 'http', /see AWS_ACCESS_KEY_ID\.$/],
    ['a wrong secret', refusing('SignatureDoesNotMatch', 403), 'http', /see AWS_SECRET_ACCESS_KEY\.$/],
    ['another region', refusing('AuthorizationHeaderMalformed', 400), 'http', /is not in eu: see S3_REGION\.$/],
    ['plain HTTP to TLS', createHttpsServer({ cert, key }), 'http', /may have to begin with https:\/\/\.$/],
    ['plain HTTP to TLS that says so', text, 'http', /may have to begin with https:\/\/\.$/],
    ['TLS to plain HTTP', refusing('x', 400), 'https', /may have to begin with http:\/\/\.$/],
    ['an unknown certificate', createHttpsServer({ cert, key }), 'https', /is not trusted .*: see S3_CA_FILE\.$/]
  ] as const) {
    const failure = await failureOf({
      STORAGE_DRIVER: 's3',
      S3_BUCKET: 'images',
      S3_REGION: 'eu',
      S3_ENDPOINT: `${scheme}://127.0.0.1:${await portOf(t, server)}`,
      AWS_ACCESS_KEY_ID: 'id',
      AWS_SECRET_ACCESS_KEY: 'hush'
    })
    t.match(failure, line, what)
    t.match(failure, /^[^\n]+$/, what)
    t.notMatch(failure, /hush/)
  }
})

t.test('15.20: nothing ends in a plugin that did not start in time', async t => {
  const app = await build(loadConfig({ LOG_LEVEL: 'silent', STORAGE_PATH: join(scratch(t), 'a') }), undefined)
  t.teardown(() => app.close())
  t.equal(app.initialConfig.pluginTimeout, 0)
})

t.test('15.20: each command that fails says why in one line', async t => {
  const file = join(scratch(t), 'file')
  writeFileSync(file, '')
  for (const args of [
    ['gc'],
    ['verify'],
    ['why', `a@sha256:${'0'.repeat(64)}`],
    ['repository', 'list'],
    ['token', 'list']
  ]) {
    const running = run(t, { STORAGE_PATH: file }, ...args)
    t.equal(await running.exited, 1, args.join(' '))
    t.match(running.err, /^STORAGE_PATH is "[^\n]*\n$/, args.join(' '))
    t.equal(running.out, '')
  }
})

t.test('15.16: READ_ONLY serves, and commands that only read work, where nothing can be written', async t => {
  const path = join(scratch(t), 'registry')
  const full = loadConfig({ LOG_LEVEL: 'silent', STORAGE_PATH: path, GC_INTERVAL: '0' })
  const writable = await build(full, undefined)
  const { digest, layer } = await pushed(createClient(overInject(writable)))
  await writable.close()
  const entries = readdirSync(path, { recursive: true, withFileTypes: true, encoding: 'utf8' })
  for (const entry of entries) {
    chmodSync(join(entry.parentPath ?? entry.path, entry.name), entry.isDirectory() ? 0o555 : 0o444)
  }
  chmodSync(path, 0o555)
  t.teardown(() => {
    if (isRoot) return
    for (const entry of entries) chmodSync(join(entry.parentPath ?? entry.path, entry.name), 0o777)
    chmodSync(path, 0o777)
  })
  await unprivileged(async () => {
    const app = await build({ ...full, readOnly: true }, undefined)
    const client = createClient(overInject(app))
    t.equal((await app.inject('/readyz')).statusCode, 200)
    t.equal((await client.getManifest('app', 'v1')).status, 200)
    t.equal((await client.getManifest('app', digest)).status, 200)
    for (const method of ['HEAD', 'GET'] as const) {
      t.equal((await app.inject({ method, url: `/v2/app/blobs/${layer}` })).statusCode, 200, method)
    }
    for (const url of ['/v2/app/tags/list', '/v2/_catalog', `/v2/app/referrers/${digest}`]) {
      t.equal((await app.inject(url)).statusCode, 200, url)
    }
    t.equal((await app.inject({ method: 'POST', url: '/v2/app/blobs/uploads/' })).statusCode, 405)
    await app.close()
    const env = { STORAGE_PATH: path, READ_ONLY: 'true' }
    for (const args of [['verify'], ['gc', '--dry-run'], ['repository', 'list'], ['token', 'list']]) {
      const outcome = await runCommand(t, [addVerify, addGc, addRepository, addToken], env, ...args)
      t.match(outcome, { code: 0, err: '' }, args.join(' '))
    }
  })
})

t.test(
  '15.16: READ_ONLY fails at the start where the secrets that logins need can be neither read nor made',
  async t => {
    const [path, empty] = [join(scratch(t), 'registry'), scratch(t)]
    const env = { STORAGE_PATH: path, AUTH_HTPASSWD_FILE: join(scratch(t), 'users') }
    writeFileSync(env.AUTH_HTPASSWD_FILE, '')
    const self = { AUTH_TOKEN_ISSUER: 'self' }
    const start = (settings: NodeJS.ProcessEnv) => failureOf({ ...env, READ_ONLY: 'true', ...settings })
    t.equal(await failureOf(env), 'it started')
    mkdirSync(join(path, 'system', 'token-keys'), { recursive: true })
    mkdirSync(join(path, 'system', 'robots'), { recursive: true })
    chmodSync(join(path, 'system'), isRoot ? 0o700 : 0)
    chmodSync(empty, 0o555)
    t.teardown(() => chmodSync(join(path, 'system'), 0o700))
    await unprivileged(async () => {
      t.equal(await start({}), 'it started', 'nothing secret is needed')
      for (const [settings, what] of [
        [self, 'the keys of tokens (AUTH_TOKEN_ISSUER=self)'],
        [{ ...self, STORAGE_PATH: empty }, 'the keys of tokens (AUTH_TOKEN_ISSUER=self)'],
        [{ AUTH_ROBOT_TOKENS: 'true' }, 'the records of robots (AUTH_ROBOT_TOKENS)']
      ] as const) {
        const failure = await start(settings)
        t.ok(failure.includes(`: ${what} can't be read or made in system/ (`), failure)
        t.match(
          failure,
          /^STORAGE_PATH is "[^\n]+ run as the owner of the folder, start once without READ_ONLY [^\n]+; allowed: [^\n]+$/
        )
      }
      t.equal(await start({ STORAGE_PATH: empty, AUTH_ROBOT_TOKENS: 'true' }), 'it started', 'there are no robots')
    })
  }
)

t.test('15.16: commands that only read work on a mount that holds nothing', async t => {
  const path = scratch(t)
  chmodSync(path, 0o555)
  await unprivileged(async () => {
    for (const args of [['gc', '--dry-run'], ['verify'], ['uploads', 'list'], ['repository', 'list']]) {
      const env = { STORAGE_PATH: path, READ_ONLY: 'true' }
      const outcome = await runCommand(t, [addVerify, addGc, addRepository, addUploads], env, ...args)
      t.match(outcome, { code: 0, err: '' }, args.join(' '))
    }
  })
})

/** Pushes an image of one layer. */
async function pushed(client: Client): Promise<{ digest: string; layer: string }> {
  const { digest } = await client.pushImage('app', 'v1')
  const manifest = parse(await client.getManifest('app', 'v1')) as {
    layers: { digest: string }[]
    config: { digest: string }
  }
  return { digest, layer: manifest.layers[0]?.digest ?? manifest.config.digest }
}
