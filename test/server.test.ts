import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { Session } from 'node:inspector'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { join, resolve } from 'node:path'
import t, { type Test } from 'tap'
import { buildApp } from '../src/app.ts'
import { defaults, loadConfig } from '../src/config.ts'
import { listen } from '../src/listening.ts'
import { loggerOptions } from '../src/logger.ts'
import { version } from '../src/version.ts'
import { folder, refuses, run, start, until } from './support/server.ts'

const CONTENT = 'ten bytes!'

/** Opens an upload and sends half of its PATCH; the server has begun to read it when this resolves. */
async function halfAnUpload(t: Test, port: number): Promise<Socket & { received: string }> {
  const opened = await fetch(`http://127.0.0.1:${port}/v2/a/b/blobs/uploads/`, { method: 'POST' })
  t.equal(opened.status, 202)
  const location = new URL(opened.headers.get('location') ?? '', opened.url)
  const socket = Object.assign(connect(port, '127.0.0.1'), { received: '' })
  t.teardown(() => socket.destroy())
  socket.setEncoding('latin1').on('error', () => {})
  socket.on('data', text => {
    socket.received += text
  })
  socket.write(
    `PATCH ${location.pathname}${location.search} HTTP/1.1\r\nHost: localhost\r\n` +
      `Content-Type: application/octet-stream\r\nContent-Length: ${CONTENT.length}\r\nExpect: 100-continue\r\n\r\n`
  )
  await until('100 Continue', () => socket.received.startsWith('HTTP/1.1 100'))
  socket.write(CONTENT.slice(0, 5))
  return socket
}

t.test('the command line', async t => {
  t.jobs = 2
  const cases: [args: string[], env: NodeJS.ProcessEnv, code: number, out: RegExp, err: RegExp][] = [
    [['--version'], {}, 0, new RegExp(`^${version}\n$`), /^$/],
    [['--help'], {}, 0, /serve.*config.*STORAGE_PATH +\.\/registry-data +Folder of the filesystem driver\n/s, /^$/],
    [
      ['config', 'check'],
      { LOG_DIRECTORY: '/x' },
      0,
      /^configuration is good\n$/,
      /^LOG_DIRECTORY is not a variable [^\n]*\n$/
    ],
    [
      ['config', 'print'],
      { REGISTRY_HTTP_ADDR: ':5001', LOG_LEVEL: 'debug', AWS_SECRET_ACCESS_KEY: 'hush', READ_ONLY: 'x' },
      1,
      /^PORT=5001 +# alias REGISTRY_HTTP_ADDR\nHOST=:: +# default\n.*LOG_LEVEL=debug +# environment\n.*AWS_SECRET_ACCESS_KEY=… +# environment\n/s,
      /^READ_ONLY is "x"[^\n]*\n$/
    ],
    [
      ['config', 'print', '--json'],
      { STORAGE_TYPE: 'filesystem', AWS_SESSION_TOKEN_FILE: '/dev/null' },
      0,
      /"name": "STORAGE_DRIVER",\n +"value": "filesystem",\n +"source": "alias",\n +"from": "STORAGE_TYPE".*"name": "AWS_SESSION_TOKEN",\n +"value": "…",\n +"source": "file",\n/s,
      /^$/
    ],
    [['config', 'check'], { PORT: 'x', LOG_FORMAT: 'y' }, 1, /^$/, /^PORT is "x"[^\n]*\nLOG_FORMAT is "y"[^\n]*\n$/],
    [['policy', 'check', 'ci', 'push', 'a/b'], {}, 0, /^allowed: there is no access control[^\n]*\n$/, /^$/],
    [['policy', 'check', 'ci', 'push', 'A'], { AUTH_ANONYMOUS: 'pull' }, 2, /^$/, /^"A" is not [^\n]*\n$/],
    [
      ['policy', 'check', '-', 'pull', 'a/b'],
      { AUTH_ANONYMOUS: 'pull' },
      0,
      /^allowed by rule 2: everybody: pull in \*\*\n$/,
      /^$/
    ],
    [
      ['policy', 'check', '-', 'push', 'a/b'],
      { AUTH_ANONYMOUS: 'pull' },
      1,
      /^denied: no rule lets a client without a login push in a\/b\n$/,
      /^$/
    ],
    [['--nothing'], {}, 2, /^$/, /^error: unknown option '--nothing'\n$/],
    [['nothing'], {}, 2, /^$/, /^unknown command "nothing"; there are [^\n]*\n$/],
    [['config', 'chekc'], {}, 2, /^$/, /^error: unknown command 'chekc' [^\n]*check[^\n]*\n$/],
    [['config'], {}, 2, /^$/, /^Usage: marina-distribution config /],
    [['gc', '--help'], {}, 0, /^Usage: marina-distribution gc /, /^$/],
    [['policy', 'check', '-', 'write', 'a/b'], {}, 2, /^$/, /^error: .*Allowed choices are pull, push, delete\.\n$/],
    [['htpasswd', 'a:b'], {}, 2, /^$/, /^"a:b" can't be a user: [^\n]*\n$/],
    [['htpasswd', 'alice'], {}, 1, /^$/, /^the password is empty\n$/],
    [[], { PORT: '70000' }, 1, /^$/, /^PORT is "70000"; allowed: a whole number from 0 to 65535\n$/],
    [
      ['serve'],
      { STORAGE_PTH: '/x' },
      1,
      /^$/,
      /^unknown variable STORAGE_PTH: did you mean STORAGE_PATH\?; [^\n]*\n$/
    ],
    [['config', 'check'], { TLS_CERTIFICATE: '/x' }, 1, /^$/, /^unknown variable TLS_CERTIFICATE: [^\n]*\n$/]
  ]
  for (const [args, env, code, out, err] of cases) {
    t.test(`${JSON.stringify(env)} ${args.join(' ')}`, { buffered: true }, async t => {
      const running = run(t, env, ...args)
      t.equal(await running.exited, code)
      t.match(running.out, out)
      t.match(running.err, err)
    })
  }
})

t.test('names of CNCF Distribution serve, and the log says what each became', async t => {
  const path = folder(t)
  const running = run(t, {
    REGISTRY_HTTP_ADDR: '127.0.0.1:0',
    REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: path,
    REGISTRY_HTTP_SECRET: 'hush',
    REGISTRY_NOTIFICATIONS_ENDPOINTS: '[]'
  })
  const [note, warning, first, open] = await until('four lines', () => {
    const lines = running.out.split('\n').slice(0, -1)
    return lines.length >= 4 && lines.map(line => JSON.parse(line))
  })
  t.match(note, {
    level: 30,
    msg: /^REGISTRY_HTTP_ADDR became HOST=127.0.0.1 and PORT=0; REGISTRY_HTTP_SECRET is not needed .*; REGISTRY_STORAGE_FIL/
  })
  t.match(warning, { level: 40, msg: /^REGISTRY_NOTIFICATIONS_ENDPOINTS is not a variable/ })
  t.match(first, { level: 30, msg: `content in ${path}` }, '15.14: warnings come before the first line of the start')
  t.match(open, {
    level: 30,
    msg: /^there is no access control: anybody who reaches 127\.0\.0\.1:\d+ may pull, push and delete /
  })
  t.notMatch(running.out, /hush/)
  running.kill('SIGTERM')
  t.equal(await running.exited, 0)
})

t.test('a folder that can not be used stops the start with one line', async t => {
  const file = join(folder(t), 'file')
  writeFileSync(file, '')
  const path = join(file, 'registry')
  const running = run(t, { PORT: '0', STORAGE_PATH: path })
  t.equal(await running.exited, 1)
  t.match(running.err, /^STORAGE_PATH is "[^\n]*; allowed: [^\n]*\n$/)
  t.ok(running.err.includes(JSON.stringify(path)))
})

t.test('a bucket that can not be used stops the start with one line', async t => {
  const noBucket = createHttpServer((_, response) => {
    response.writeHead(404, { 'Content-Type': 'application/xml' })
    response.end('<Error><Code>NoSuchBucket</Code><Message>no such bucket</Message></Error>')
  })
  await once(noBucket.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => noBucket.close())
  const { port } = noBucket.address() as AddressInfo
  const closed = createServer().listen(0, '127.0.0.1')
  await once(closed, 'listening')
  const unreachable = (closed.address() as AddressInfo).port
  closed.close()
  for (const [at, variable] of [
    [port, 'S3_BUCKET'],
    [unreachable, 'S3_ENDPOINT']
  ] as const) {
    const running = run(t, {
      PORT: '0',
      STORAGE_DRIVER: 's3',
      S3_BUCKET: 'images',
      S3_ENDPOINT: `http://127.0.0.1:${at}`,
      AWS_ACCESS_KEY_ID: 'registry',
      AWS_SECRET_ACCESS_KEY: 'hush-hush'
    })
    t.equal(await running.exited, 1)
    t.match(running.err, new RegExp(`^[^\\n]*${variable}[^\\n]*\\n$`))
    t.notMatch(running.err + running.out, /hush|STORAGE_PATH/)
  }
})

t.test('a taken port stops the start with one line', async t => {
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  t.teardown(() => other.close())
  const { port } = other.address() as AddressInfo
  const running = run(t, { PORT: String(port), HOST: '127.0.0.1', STORAGE_PATH: folder(t) })
  t.equal(await running.exited, 1)
  t.match(running.err, new RegExp(`^PORT is ${port}, [^\\n]*; allowed: [^\\n]*\\n$`))
})

t.test('an address of another machine stops the start with one line', async t => {
  const running = run(t, { PORT: '0', HOST: '192.0.2.1', STORAGE_PATH: folder(t) })
  t.equal(await running.exited, 1)
  t.match(running.err, /^HOST is "192\.0\.2\.1"; allowed: [^\n]*\n$/)
})

t.test('SIGTERM lets an upload finish, refuses new connections, and ends with 0', async t => {
  const registry = await start(t, { SHUTDOWN_TIMEOUT: '1m', LOG_DIRECTORY: '/x' })
  const lines = registry.out.trim().split('\n')
  t.match(JSON.parse(lines[0] ?? ''), { level: 40, msg: /^LOG_DIRECTORY is not a variable/ })
  t.match(JSON.parse(lines[1] ?? ''), {
    level: 30,
    time: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/,
    msg: `listening at http://127.0.0.1:${registry.port}, content in ${registry.path}, version ${version}`
  })
  const upload = await halfAnUpload(t, registry.port)

  registry.kill('SIGTERM')
  await until('a refused connection', () => refuses(registry.port))
  t.notMatch(upload.received, '202', 'the upload is still in flight')
  upload.write(CONTENT.slice(5))
  await until('202', () => /HTTP\/1\.1 202 .*\r\nRange: 0-9\r\n/is.test(upload.received))

  // The client keeps its connection open: the server has to end it by itself.
  t.equal(await registry.exited, 0)
  t.equal(registry.err, '')
  for (const line of registry.out.trim().split('\n'))
    t.type(JSON.parse(line).msg, 'string', 'JSON where no terminal is')
  t.match(registry.out, 'SIGTERM: closing')
})

t.test('METRICS_PORT tells numbers and how it is, until the very end', async t => {
  const registry = await start(t, { METRICS_PORT: '0', METRICS_HOST: '127.0.0.2', LOG_REQUESTS: 'none' })
  const monitor = await until('the metrics', () => /"metrics at (http:[^"]+)\/metrics"/.exec(registry.out)?.[1])
  t.match(monitor, /^http:\/\/127\.0\.0\.2:/)
  const look = async (path: string) => {
    const answer = await fetch(monitor + path)
    return { status: answer.status, text: await answer.text() }
  }
  const upload = await halfAnUpload(t, registry.port)
  t.match(await look('/metrics'), {
    status: 200,
    text: 'marina_http_requests_in_flight{route="upload",method="PATCH"} 1'
  })
  t.strictSame(await look('/readyz'), { status: 200, text: '{"status":"ready"}' })
  t.equal((await look('/v2/')).status, 404)
  t.equal((await fetch(`http://127.0.0.1:${registry.port}/metrics`)).status, 404, 'not on the main port')

  registry.kill('SIGTERM')
  await until('a refused connection', () => refuses(registry.port))
  t.equal((await look('/readyz')).status, 503)
  t.equal((await look('/livez')).status, 200)
  upload.write(CONTENT.slice(5))
  t.equal(await registry.exited, 0)
  t.equal(registry.err, '')
})

t.test('what does not finish within SHUTDOWN_TIMEOUT is cut, and the end is still 0', async t => {
  const registry = await start(t, { SHUTDOWN_TIMEOUT: '1s' })
  const upload = await halfAnUpload(t, registry.port)
  registry.kill('SIGINT')
  t.equal(await registry.exited, 0)
  t.match(registry.out, /"level":40[^\n]*did not finish within 1 s/)
  t.notMatch(upload.received, '202')
})

t.test('a second signal ends it at once', async t => {
  const registry = await start(t, { SHUTDOWN_TIMEOUT: '1h' })
  await halfAnUpload(t, registry.port)
  registry.kill('SIGTERM')
  await until('the first signal', () => registry.out.includes('SIGTERM: closing'))
  registry.kill('SIGTERM')
  t.equal(await registry.exited, 1)
})

t.test('where IPv6 is off, the default address falls back to IPv4', async t => {
  const listenWithout = async (family: string, host: string) => {
    const tried: (string | undefined)[] = []
    const app = {
      listen: async (options?: { host?: string }) => {
        tried.push(options?.host)
        if (options?.host?.includes(':')) throw Object.assign(new Error(family), { code: family })
        return ''
      }
    }
    await listen(app as Parameters<typeof listen>[0], { ...defaults, host }).catch(({ cause }) =>
      tried.push(cause.code)
    )
    return tried
  }
  t.strictSame(await listenWithout('EAFNOSUPPORT', '::'), ['::', '0.0.0.0'])
  t.strictSame(await listenWithout('EADDRNOTAVAIL', '::'), ['::', '0.0.0.0'])
  t.strictSame(await listenWithout('EADDRINUSE', '::'), ['::', 'EADDRINUSE'], 'another fault is no reason')
  t.strictSame(await listenWithout('EAFNOSUPPORT', '::1'), ['::1', 'EAFNOSUPPORT'], 'an address that was asked for')
  t.strictSame(await listenWithout('EAFNOSUPPORT', 'localhost'), ['127.0.0.1'])
})

t.test('the first line says where the content is', async t => {
  const lineFor = async (env: NodeJS.ProcessEnv) => {
    let line = ''
    const app = {
      listen: async (options?: { listenTextResolver?: (url: string) => string }) => {
        line = options?.listenTextResolver?.('http://[::]:5000') ?? ''
        return line
      }
    }
    await listen(app as Parameters<typeof listen>[0], loadConfig(env))
    return line.replace('listening at http://[::]:5000, content in ', '').replace(`, version ${version}`, '')
  }
  t.equal(await lineFor({ STORAGE_PATH: 'data' }), resolve('data'))
  const bucket = { STORAGE_DRIVER: 's3', S3_BUCKET: 'images', AWS_ACCESS_KEY_ID: 'id', AWS_SECRET_ACCESS_KEY: 'hush' }
  t.equal(await lineFor({ ...bucket, S3_REGION: 'eu-central-1' }), 'bucket images at AWS in eu-central-1')
  t.equal(
    await lineFor({ ...bucket, S3_ENDPOINT: 'http://minio:9000', S3_PREFIX: 'team' }),
    'bucket images, below team/, at http://minio:9000'
  )
})

t.test('a registry on a folder loads nothing of the AWS SDK', async t => {
  const scripts: string[] = []
  const session = new Session()
  session.connect()
  t.teardown(() => session.disconnect())
  session.on('Debugger.scriptParsed', ({ params }) => scripts.push(params.url))
  const app = await buildApp({ ...defaults, logLevel: 'silent', storagePath: folder(t) })
  t.teardown(() => app.close())
  // Tells of every module that is loaded, and from then on of those that come.
  session.post('Debugger.enable')
  const loaded = () => scripts.filter(url => /@aws-sdk|@smithy/.test(url))
  t.ok(scripts.some(url => url.endsWith('/src/storage/filesystem.ts')))
  t.strictSame(loaded(), [])
  await import('@aws-sdk/client-s3')
  t.not(loaded().length, 0, 'it would be seen')
})

t.test('the log is for people on a terminal, JSON elsewhere, or as asked', async t => {
  const isTTY = process.stdout.isTTY
  t.teardown(() => Object.assign(process.stdout, { isTTY }))
  const format = (logFormat: 'auto' | 'json' | 'pretty', isTTY: boolean) => {
    Object.assign(process.stdout, { isTTY })
    return JSON.stringify(loggerOptions({ logLevel: 'debug', logFormat })).includes('pino-pretty') ? 'pretty' : 'json'
  }
  t.equal(format('auto', true), 'pretty')
  t.equal(format('auto', false), 'json')
  t.equal(format('json', true), 'json')
  t.equal(format('pretty', false), 'pretty')
  t.match(loggerOptions({ logLevel: 'debug', logFormat: 'json' }), { level: 'debug' })
})
