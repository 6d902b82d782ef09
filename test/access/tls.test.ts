import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { copyFileSync, writeFileSync } from 'node:fs'
import { Agent, type RequestOptions, request } from 'node:https'
import { type AddressInfo, connect as connectPlain, createServer } from 'node:net'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import type { AccessSettings } from '../../src/config/access.ts'
import { readTls } from '../../src/config/tls.ts'
import { createMemory } from '../../src/storage/memory.ts'
import { holds, refused, told } from '../support/answers.ts'
import { basic, htpasswdOf, passwordOf } from '../support/callers.ts'
import { type Authority, createAuthority } from '../support/certificates.ts'
import { createClient, parse, type Send } from '../support/client.ts'
import { random } from '../support/images.ts'
import { openRegistry } from '../support/registry.ts'

/** Requests over TLS, each over a connection of its own. */
function overTls(port: number, options: RequestOptions): Send {
  return async (method, path, { headers = {}, body } = {}) => {
    const length = body ? { 'content-length': body.length } : {}
    const sent = request({ port, method, path, agent: false, headers: { ...length, ...headers }, ...options })
    sent.end(body)
    const [answer] = await once(sent, 'response')
    return { status: answer.statusCode, headers: answer.headers, body: await buffer(answer) }
  }
}

interface Opened {
  authority: Authority
  files: { certFile: string; keyFile: string; clientCaFile?: string }
  port: number
  send(options?: RequestOptions): Send
}

async function open(
  t: Test,
  { access, mutual = false, now }: { access?: AccessSettings; mutual?: boolean; now?: () => number } = {}
): Promise<Opened> {
  const folder = t.testdir({})
  const authority = createAuthority(join(folder, 'ca'))
  const issued = authority.issue('localhost')
  const files = { certFile: join(folder, 'server.pem'), keyFile: join(folder, 'server.key') }
  copyFileSync(issued.certFile, files.certFile)
  copyFileSync(issued.keyFile, files.keyFile)
  const tls = { ...files, ...(mutual && { clientCaFile: authority.caFile }) }
  const { app } = await openRegistry(t, createMemory(), { tls, ...(access && { access }), ...(now && { now }) })
  const address = await app.listen({ port: 0, host: '127.0.0.1' })
  t.match(address, /^https:/)
  const { port } = app.server.address() as AddressInfo
  const send = (options: RequestOptions = {}) => overTls(port, { ca: authority.ca, ...options })
  return { authority, files: tls, port, send }
}

t.test('pushes and pulls over TLS, of the versions that are safe, as HTTP/1.1', async t => {
  const { send, port, authority } = await open(t)
  const client = createClient(send())
  const bytes = random(3_000_000)
  const digest = await client.pushBlob('a/b', bytes)
  holds(t, await client.get(`/v2/a/b/blobs/${digest}`), bytes, digest, 'a blob')
  const image = await client.pushImage('a/b', 'v1')
  holds(t, await client.getManifest('a/b', 'v1'), image.bytes, image.digest, 'an image')

  const greet = async (options: ConnectionOptions): Promise<TLSSocket> => {
    const socket = connect({ port, host: '127.0.0.1', ca: authority.ca, ...options })
    await once(socket, 'secureConnect')
    socket.destroy()
    return socket
  }
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    await t.resolves(greet({ minVersion: version, maxVersion: version }), version)
  }
  const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const
  await t.rejects(greet(old), { code: /PROTOCOL_VERSION/ }, 'TLS 1.1')
  const { alpnProtocol } = await greet({ ALPNProtocols: ['h2', 'http/1.1'] })
  t.equal(alpnProtocol, 'http/1.1')
})

t.test('15.18: TLS 1.2 has no suite without forward secrecy or authenticated encryption', async t => {
  const { port, authority } = await open(t)
  const greet = async (ciphers: string): Promise<string> => {
    const options = { maxVersion: 'TLSv1.2', ciphers: `${ciphers}:@SECLEVEL=0` } as const
    const socket = connect({ port, host: '127.0.0.1', ca: authority.ca, ...options })
    await once(socket, 'secureConnect')
    const { name } = socket.getCipher()
    socket.destroy()
    return name
  }
  for (const good of ['ECDHE-ECDSA-AES128-GCM-SHA256', 'ECDHE-ECDSA-AES256-GCM-SHA384'])
    t.equal(await greet(good), good)
  for (const bad of ['ECDHE-ECDSA-AES128-SHA', 'ECDHE-ECDSA-AES256-SHA', 'ECDHE-ECDSA-AES128-SHA256']) {
    await t.rejects(greet(bad), { code: /HANDSHAKE_FAILURE/ }, bad)
  }
  // A certificate of this kind knows no static RSA, so the settings themselves are asked.
  const suites = String(readTls(authority.issue('localhost')).ciphers).split(':')
  t.ok(
    suites.every(suite => /^TLS_|^ECDHE-(ECDSA|RSA)-(AES\d+-GCM|CHACHA20)-/.test(suite)),
    suites.join(' ')
  )
})

t.test('15.18: plain HTTP is answered with a sentence, and what is neither is closed', async t => {
  const { port, send, authority } = await open(t)
  for (const sent of ['GET /v2/ HTTP/1.1\r\nHost: h\r\n\r\n', 'PUT /v2/a HTTP/1.0\r\n', 'P']) {
    const socket = connectPlain(port, '127.0.0.1')
    socket.write(sent)
    const answer = (await buffer(socket)).toString()
    t.match(answer, /^HTTP\/1\.1 400 Bad Request\r\n/, sent)
    t.match(
      answer,
      /\r\nconnection: close\r\n.*"message":"this port speaks HTTPS, and the request came in plain HTTP"/is
    )
  }
  for (const sent of ['\x80\x00\x00', 'get']) {
    const socket = connectPlain(port, '127.0.0.1')
    socket.end(sent)
    // An alert of TLS, or nothing.
    t.notMatch((await buffer(socket)).toString('latin1'), /HTTP/, JSON.stringify(sent))
  }
  told(t, await send()('GET', '/v2/'), 200, {}, 'TLS goes on')

  // A handshake in pieces as small as they can be, which a slow line may send.
  const proxy = createServer(client => {
    const server = connectPlain(port, '127.0.0.1')
    client.on('data', async data => {
      for (const byte of data) await new Promise(done => server.write(Buffer.of(byte), done))
    })
    server.pipe(client)
    for (const socket of [client, server]) socket.on('error', () => {}).on('close', () => client.destroy())
  })
  await once(proxy.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => proxy.close())
  const { port: slow } = proxy.address() as AddressInfo
  told(t, await overTls(slow, { ca: authority.ca })('GET', '/v2/'), 200, {}, 'byte by byte')
})

t.test('15.18: a certificate that has ended is served with a warning, and its end is a metric', async t => {
  const folder = t.testdir({})
  const authority = createAuthority(join(folder, 'ca'))
  const { certFile, keyFile, cert } = authority.issue('localhost')
  const end = Date.parse(new X509Certificate(cert).validTo)
  for (const [what, now, warning] of [
    ['in its time', Date.now(), undefined],
    ['after it', end + 1000, /^TLS_CERT_FILE is .* its certificate ended at .*renew it$/],
    ['before it', Date.now() - 7 * 24 * 3600_000, /is valid from .* on: .*clock/]
  ] as const) {
    const warnings: string[] = []
    const onLog = ({ level, msg }: Record<string, unknown>) => level === 40 && warnings.push(String(msg))
    const tls = { certFile, keyFile }
    const { app } = await openRegistry(t, createMemory(), { tls, now: () => now, onLog, metricsEnabled: true })
    t.match(warnings, warning === undefined ? [] : [warning], what)
    t.equal(warnings.length, warning === undefined ? 0 : 1, what)
    const { body } = await app.inject('/metrics')
    t.match(body, new RegExp(`\nmarina_tls_certificate_expiry_timestamp_seconds ${end / 1000}\n`), what)
  }
})

t.test('a renewed certificate is taken up without a restart, and nothing while its key is missing', async t => {
  const { authority, files, port } = await open(t)
  const serial = async () => {
    const socket = connect({ port, host: '127.0.0.1', ca: authority.ca })
    await once(socket, 'secureConnect')
    const { serialNumber } = socket.getPeerCertificate()
    socket.destroy()
    return serialNumber
  }
  const before = await serial()
  const renewed = authority.issue('localhost')
  writeFileSync(files.certFile, renewed.cert)
  await sleep(2500)
  t.equal(await serial(), before, 'a certificate without its key')
  writeFileSync(files.keyFile, renewed.key)
  for (let tries = 0; tries < 100 && (await serial()) === before; tries++) await sleep(100)
  t.not(await serial(), before)
})

t.test('15.7: neither a token nor a connection outlives the certificate', async t => {
  let shift = 0
  const tokens = { service: 'r', leewayMs: 60_000, lifetimeMs: 24 * 3600e3 }
  const access = { anonymous: 'none' as const, certificates: true, tokens }
  const { authority, send } = await open(t, { access, mutual: true, now: () => Date.now() + shift })
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => agent.destroy())
  const { cert, key } = authority.issue('robot')
  const ends = Date.parse(new X509Certificate(cert).validTo)
  const robot = send({ cert, key, agent })
  told(t, await robot('GET', '/v2/'), 200, {}, 'logged in')
  shift = ends - Date.now() - 600_000
  const { token, expires_in } = parse(await robot('GET', '/v2/token'))
  t.ok(Number(expires_in) > 590 && Number(expires_in) <= 600, `a token of ${expires_in} s`)
  const headers = { authorization: `Bearer ${token}` }
  told(t, await send()('GET', '/v2/', { headers }), 200, {}, 'the token')
  shift += 600_000
  told(t, await robot('GET', '/v2/'), 401, {}, 'the connection that was opened with it')
  told(t, await send()('GET', '/v2/', { headers }), 401, {}, 'the token')
})

t.test("a client's certificate tells its user", async t => {
  const folder = t.testdir({
    users: await htpasswdOf('alice'),
    policy:
      'rules:\n- {users: [robot], repositories: [robots/**], actions: [pull, push]}\n- {users: [alice], repositories: ["**"], actions: ["*"]}'
  })
  const access = {
    htpasswdFile: join(folder, 'users'),
    policyFile: join(folder, 'policy'),
    anonymous: 'none' as const,
    certificates: true
  }
  t.test('and what it may do', async t => {
    const { authority, send } = await open(t, { access, mutual: true })
    const strangers = createAuthority(join(t.testdirName, 'strangers'))
    const certified = (of: Authority, name: string) => createClient(send(of.issue(name)))
    const robot = certified(authority, 'robot')
    told(t, await robot.get('/v2/'), 200, {}, 'logged in')
    await robot.pushImage('robots/app', 'v1')
    refused(t, await robot.send('POST', '/v2/others/blobs/uploads/'), 403, 'DENIED', 'elsewhere')
    refused(t, await certified(strangers, 'robot').get('/v2/'), 401, 'UNAUTHORIZED', 'an issuer that is not trusted')
    const expired = authority.issue('robot', 0)
    await sleep(1100)
    refused(t, await createClient(send(expired)).get('/v2/'), 401, 'UNAUTHORIZED', 'a certificate that has ended')
    refused(t, await createClient(send()).get('/v2/'), 401, 'UNAUTHORIZED', 'no certificate')
    const headers = basic('alice', passwordOf('alice'))
    told(t, await send()('GET', '/v2/others/tags/list', { headers }), 404, {}, 'a password instead')
    told(
      t,
      await send(authority.issue('robot'))('GET', '/v2/others/tags/list', { headers }),
      404,
      {},
      'a password counts more'
    )
    const wrong = { headers: basic('alice', 'wrong') }
    told(
      t,
      await send(authority.issue('robot'))('GET', '/v2/', wrong),
      401,
      {},
      'a wrong password is one, certificate or not'
    )
  })
})
