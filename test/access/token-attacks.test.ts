import {
  createHmac,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign as signBytes
} from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import fc from 'fast-check'
import type { JWTPayload } from 'jose'
import t, { type Test } from 'tap'
import { libtrustId, thumbprint } from '../../src/access/token-keys.ts'
import { createMemory } from '../../src/storage/memory.ts'
import { openSocket } from '../plugins/edge.ts'
import { refused } from '../support/answers.ts'
import { type Certificate, createAuthority } from '../support/certificates.ts'
import { digestOf, random } from '../support/images.ts'
import { issuers, SERVICE, sign } from '../support/issuers.ts'
import { openRegistry } from '../support/registry.ts'
import { challengeIn } from '../support/tokens.ts'

const NOW = Date.UTC(2026, 5)
const PULL = [{ type: 'repository', name: 'team/app', actions: ['pull', 'push'] }]

async function open(t: Test, make: keyof typeof issuers = 'Keycloak') {
  const clock = { now: NOW }
  const issuer = issuers[make](t.testdir(), () => clock.now)
  // Its certificates are valid from now on.
  if (make === 'certified') clock.now = Date.now()
  const access = { anonymous: 'none' as const, tokens: issuer.settings }
  const { send, app } = await openRegistry(t, createMemory(), { access, now: () => clock.now })
  const answerTo = (token: string, path = '/v2/team/app/tags/list') =>
    send('GET', path, { headers: { authorization: `Bearer ${token}` } })
  const invalid = async (t: Test, token: string, what: string) => {
    const answer = await answerTo(token)
    refused(t, answer, 401, 'UNAUTHORIZED', what)
    t.equal(challengeIn(answer)?.error, 'invalid_token', what)
  }
  /** A token is good where it leads to the answer that the repository is not there. */
  const good = async (t: Test, token: string, what: string) =>
    refused(t, await answerTo(token), 404, 'NAME_UNKNOWN', what)
  return { issuer, clock, send, app, answerTo, invalid, good }
}

const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
const claimsOf = (token: string): JWTPayload => JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString())
const rsa = () => generateKeyPairSync('rsa', { modulusLength: 2048 })

t.test('no signature, and one that a stranger can make', async t => {
  const { issuer, invalid, good } = await open(t)
  const token = await issuer.token('alice', PULL)
  await good(t, token, 'as issued')
  const [, claims, signature] = token.split('.') as [string, string, string]
  for (const alg of ['none', 'None', 'NONE', '', null, ['RS256'], undefined]) {
    const header = encode({ typ: 'JWT', alg, kid: issuer.header.kid })
    await invalid(t, `${header}.${claims}.`, `alg ${alg}, without a signature`)
    await invalid(t, `${header}.${claims}.${signature}`, `alg ${alg}, with that of another`)
  }
  const publicKey = createPublicKey(issuer.key)
  const secrets = [
    publicKey.export({ type: 'spki', format: 'pem' }),
    publicKey.export({ type: 'spki', format: 'der' }),
    JSON.stringify(publicKey.export({ format: 'jwk' })),
    ''
  ]
  for (const alg of ['HS256', 'HS384', 'HS512']) {
    for (const secret of secrets) {
      const head = `${encode({ typ: 'JWT', alg, kid: issuer.header.kid })}.${claims}`
      const forged = createHmac(alg.replace('HS', 'sha'), secret).update(head).digest('base64url')
      await invalid(t, `${head}.${forged}`, `the public key as the secret of ${alg}`)
    }
  }
  const { privateKey } = rsa()
  await invalid(t, await sign(issuer.header, claimsOf(token), privateKey), 'another key under the same name')
  const { privateKey: ec } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  await invalid(t, await sign({ ...issuer.header, alg: 'ES256' }, claimsOf(token), ec), 'a key of another kind')
  await invalid(
    t,
    await sign({ ...issuer.header, alg: 'PS256' }, claimsOf(token), issuer.key),
    'not what the key is for'
  )
})

t.test('times, issuer, audience', async t => {
  const { issuer, invalid, good } = await open(t)
  const at = NOW / 1000
  const claims: [string, JWTPayload][] = [
    ['expired', { exp: at - 61 }],
    ['not yet valid', { nbf: at + 61 }],
    ['without an end', { exp: undefined as unknown as number }],
    ['an end that is no number', { exp: `${at + 300}` as unknown as number }],
    ['another issuer', { iss: 'https://sso.example.com/realms/other' }],
    ['an issuer that only begins the same', { iss: `${issuer.settings.issuer}/` }],
    ['no issuer', { iss: undefined as unknown as string }],
    ['another audience', { aud: 'other.example.com' }],
    ['audiences, ours not among them', { aud: ['other.example.com', `${SERVICE}.example.org`] }],
    ['no audience', { aud: undefined as unknown as string }]
  ]
  for (const [what, more] of claims) await invalid(t, await issuer.token('alice', PULL, more), what)
  await good(t, await issuer.token('alice', PULL, { exp: at - 58 }), 'within the leeway')
  await good(t, await issuer.token('alice', PULL, { nbf: at + 58 }), 'within the leeway')
  await good(t, await issuer.token('alice', PULL, { aud: ['other.example.com', SERVICE] }), 'one of several audiences')
})

t.test('a token that was good ends at its time', async t => {
  const { issuer, clock, invalid, good } = await open(t)
  const token = await issuer.token('alice', PULL)
  await good(t, token, 'at first')
  clock.now += 300_000 + 59_000
  await good(t, token, 'to the end, and the leeway')
  clock.now += 2000
  await invalid(t, token, 'afterwards, though it is remembered')
})

t.test('a token for one repository, used on another, and widened', async t => {
  const { issuer, send, answerTo, invalid } = await open(t)
  const token = await issuer.token('alice', PULL)
  for (const name of ['team/app2', 'team', 'team/app/x', 'app', 'team%2Fapp2', 'other/team/app']) {
    const answer = await answerTo(token, `/v2/${name}/tags/list`)
    t.strictSame([answer.status, challengeIn(answer)?.error], [401, 'insufficient_scope'], name)
  }
  for (const name of ['*', '**', 'team/*', 'team/app:pull', '']) {
    const wide = await issuer.token('alice', [{ type: 'repository', name, actions: ['*'] }])
    t.equal((await answerTo(wide)).status, 401, `patterns mean nothing: ${name}`)
  }
  for (const type of ['Repository', 'repo', 'registry', '']) {
    const other = await issuer.token('alice', [{ type, name: 'team/app', actions: ['*'] }])
    t.equal((await answerTo(other)).status, 401, `another type: ${type}`)
  }
  const [header, , signature] = token.split('.')
  const wider = { ...claimsOf(token), access: [{ type: 'repository', name: 'secret', actions: ['*'] }] }
  await invalid(t, `${header}.${encode(wider)}.${signature}`, 'claims that were not signed')
  const reader = await issuer.token('alice', [{ type: 'repository', name: 'team/app', actions: ['pull'] }])
  const pushed = await send('POST', '/v2/team/app/blobs/uploads/', { headers: { authorization: `Bearer ${reader}` } })
  t.strictSame([pushed.status, challengeIn(pushed)?.scope], [401, 'repository:team/app:pull,push'], 'push with pull')
})

t.test('a mount from a repository that the token may not pull', async t => {
  const { issuer, send } = await open(t)
  const as = (scope: object[]) => async (method: string, path: string, body?: Buffer) => {
    const authorization = `Bearer ${await issuer.token('alice', scope as typeof PULL)}`
    return send(method, path, { headers: { authorization }, ...(body && { body }) })
  }
  const secret = as([{ type: 'repository', name: 'secret', actions: ['*'] }])
  const bytes = random(40)
  const digest = digestOf(bytes)
  t.equal((await secret('POST', `/v2/secret/blobs/uploads/?digest=${digest}`, bytes)).status, 201)
  const mallory = as(PULL)
  for (const from of ['&from=secret', '']) {
    t.equal((await mallory('POST', `/v2/team/app/blobs/uploads/?mount=${digest}${from}`)).status, 202, from)
  }
  t.equal((await mallory('HEAD', `/v2/team/app/blobs/${digest}`)).status, 404, 'and it is not there')
})

t.test('keys that a token names or brings itself', async t => {
  let asked = 0
  const { privateKey, publicKey } = rsa()
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid: 'mine', alg: 'RS256', use: 'sig' }
  const server = createServer((_request, response) => {
    asked++
    response.end(JSON.stringify({ keys: [jwk] }))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  const authority = createAuthority(join(t.testdir(), 'stranger'))
  const { cert, key } = authority.issue('stranger')
  const x5c = [cert, authority.ca].map(pem => pem.toString().replace(/-----[A-Z ]+-----|\s/g, ''))
  for (const make of ['Keycloak', 'docker_auth'] as const) {
    const { issuer, invalid } = await open(t, make)
    const claims = claimsOf(await issuer.token('alice', PULL))
    const headers: Record<string, object> = {
      'a kid that is not known': { kid: 'mine' },
      'the kid of what it signed with': { kid: thumbprint(publicKey) },
      'a kid in the form of others': { kid: libtrustId(publicKey) },
      'a kid like a path': { kid: '../../../../dev/null' },
      'a kid that is no text': { kid: { toString: 'x' } },
      'no kid': { kid: undefined },
      'a key in the header': { jwk },
      'a key in the header, under a known name': { kid: issuer.header.kid, jwk },
      'the URL of a key': { kid: 'mine', jku: url },
      'the URL of a certificate': { kid: 'mine', x5u: url },
      'certificates of a stranger': { kid: undefined, x5c },
      'certificates of a stranger, under a known name': { kid: issuer.header.kid, x5c }
    }
    for (const [what, more] of Object.entries(headers)) {
      await invalid(t, signRaw({ ...issuer.header, ...more }, claims, privateKey), what)
    }
    t.equal(asked, 0, 'no address of a token is asked')
  }
  const { issuer, invalid, good } = await open(t, 'certified')
  const claims = claimsOf(await issuer.token('alice', PULL))
  await good(t, await sign(issuer.header, claims, issuer.key), 'the certificate that was signed by a root')
  await invalid(t, await sign({ alg: 'ES256', x5c }, claims, createPrivateKey(key)), 'a chain of a stranger')
  const [theirs] = issuer.header.x5c as string[]
  for (const chain of [
    [theirs, ...x5c],
    [x5c[0], theirs],
    [theirs, theirs],
    [],
    ['x'],
    'x',
    [null],
    new Array(9).fill(theirs)
  ]) {
    await invalid(t, signRaw({ alg: 'ES256', x5c: chain }, claims, createPrivateKey(key)), `chain ${chain}`)
  }
})

/** What `sign` refuses to put into a header. */
function signRaw(header: object, claims: JWTPayload, key: KeyObject): string {
  const head = `${encode(header)}.${encode(claims)}`
  const dsa = key.asymmetricKeyType === 'ec' ? { key, dsaEncoding: 'ieee-p1363' as const } : key
  return `${head}.${signBytes('sha256', Buffer.from(head), dsa).toString('base64url')}`
}

t.test('a certificate that has ended', async t => {
  const { issuer, clock, invalid, good } = await open(t, 'certified')
  const token = await issuer.token('alice', PULL)
  await good(t, token, 'while the certificate is valid')
  clock.now += 2 * 24 * 3600e3
  await invalid(t, await issuer.token('alice', PULL), 'a day after its end')
})

/** A registry that trusts one authority, and what it answers to a token of a chain below that. */
async function openChained(t: Test, now?: () => number) {
  const folder = t.testdir()
  const root = createAuthority(join(folder, 'root'))
  const { settings } = issuers.certified(join(folder, 'issuer'), Date.now)
  const access = { anonymous: 'none' as const, tokens: { ...settings, rootCertsFile: root.caFile } }
  const { send } = await openRegistry(t, createMemory(), { access, ...(now && { now }) })
  const statusOf = async (...chain: Certificate[]) => {
    const x5c = chain.map(({ cert }) => cert.toString().replace(/-----[A-Z ]+-----|\s/g, ''))
    const at = Math.floor((now ?? Date.now)() / 1000)
    const claims = { iss: settings.issuer!, aud: SERVICE, sub: 'mallory', exp: at + 300, access: PULL }
    const token = signRaw({ alg: 'ES256', x5c }, claims, createPrivateKey(chain[0]!.key))
    return (await send('GET', '/v2/', { headers: { authorization: `Bearer ${token}` } })).status
  }
  let authorities = 0
  /** What may sign with the key of a certificate, whatever that allows. */
  const below = (issuer: Certificate) => createAuthority(join(folder, `${++authorities}`), issuer)
  return { root, below, statusOf }
}

const AUTHORITY = ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign,cRLSign']

t.test('a certificate that is signed by one that may sign none', async t => {
  const { root, below, statusOf } = await openChained(t)
  const leaf = root.issue('signer')
  t.equal(await statusOf(leaf), 200, 'a leaf of the root')
  const good = root.issue('authority', 1, AUTHORITY)
  t.equal(await statusOf(below(good).issue('signer'), good), 200, 'a leaf of an authority of the root')
  const notAuthorities: Record<string, string[]> = {
    'says nothing of it': [],
    'says that it is none': ['basicConstraints=critical,CA:FALSE'],
    'may sign tokens alone': ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,digitalSignature'],
    'has a key for certificates, and is none': ['basicConstraints=CA:FALSE', 'keyUsage=critical,keyCertSign']
  }
  for (const [what, extensions] of Object.entries(notAuthorities)) {
    const issuer = root.issue('signer', 1, extensions)
    t.equal(await statusOf(below(issuer).issue('mallory'), issuer), 401, what)
    const authority = below(issuer).issue('authority', 1, AUTHORITY)
    t.equal(await statusOf(below(authority).issue('mallory'), authority, issuer), 401, `${what}, farther up`)
  }
})

t.test('more authorities in a chain than the one above them allows', async t => {
  const { root, below, statusOf } = await openChained(t)
  const limited = (depth: number) => [`basicConstraints=critical,CA:TRUE,pathlen:${depth}`, AUTHORITY[1]!]
  for (const depth of [0, 1, 200]) {
    const chain = [root.issue('authority 0', 1, limited(depth))]
    for (let between = 0; between <= 2; between++) {
      const [lowest] = chain as [Certificate]
      const status = await statusOf(below(lowest).issue('signer'), ...chain)
      t.equal(status, between <= depth ? 200 : 401, `${between} where ${depth} may be`)
      chain.unshift(below(lowest).issue(`authority ${between + 1}`, 1, AUTHORITY))
    }
  }
  const once = root.issue('authority', 1, limited(0))
  const renewed = below(once).issue('authority', 1, AUTHORITY)
  t.equal(await statusOf(below(renewed).issue('signer'), renewed, once), 200, 'a new key of the same one is none more')
})

t.test('a chain with what nobody here understands and all have to', async t => {
  const { root, below, statusOf } = await openChained(t)
  const critical: Record<string, string> = {
    names: 'nameConstraints=critical,permitted;DNS:example.com',
    policies: 'policyConstraints=critical,requireExplicitPolicy:0',
    'an extension of their own': '1.2.3.4=critical,ASN1:UTF8String:no tokens'
  }
  for (const [what, extension] of Object.entries(critical)) {
    const issuer = root.issue('authority', 1, [...AUTHORITY, extension])
    t.equal(await statusOf(below(issuer).issue('signer'), issuer), 401, `${what}, of an authority`)
    t.equal(await statusOf(root.issue('signer', 1, [extension])), 401, `${what}, of the signer`)
  }
  const known = ['keyUsage=critical,digitalSignature', 'extendedKeyUsage=critical,clientAuth', '1.2.3.4=ASN1:NULL']
  t.equal(await statusOf(root.issue('signer', 1, known)), 200, 'what is understood, and what nobody has to')
})

t.test('an authority that has ended or not begun, is another of the same name, or has no key', async t => {
  const clock = { now: Date.now() }
  const { root, below, statusOf } = await openChained(t, () => clock.now)
  const short = root.issue('authority', 1, AUTHORITY)
  const signer = below(short).issue('signer', 30)
  const other = root.issue('authority', 1, AUTHORITY)
  clock.now = Date.now()
  t.equal(await statusOf(signer, short), 200, 'while it is valid')
  t.equal(await statusOf(signer, other), 401, 'one of the same name')
  const damaged = Buffer.from(other.cert.toString().replace(/-----[A-Z ]+-----|\s/g, ''), 'base64')
  // The curve's name, in the key of the certificate.
  damaged.write('2a8648ce3d030163', damaged.indexOf('2a8648ce3d030107', 'hex'), 'hex')
  t.equal(await statusOf(signer, { ...other, cert: Buffer.from(damaged.toString('base64')) }), 401, 'one without a key')
  clock.now -= 3600e3
  t.equal(await statusOf(signer, short), 401, 'an hour before')
  clock.now += 30 * 3600e3
  t.equal(await statusOf(signer, short), 401, 'after the end of the authority')
  t.equal(await statusOf(root.issue('signer', 30)), 200, 'of the root, which is still valid')
  clock.now += 24 * 3600e3
  t.equal(await statusOf(root.issue('signer', 30)), 401, 'after the end of the root')
})

t.test('giant tokens, and what is no token', async t => {
  const { issuer, app, answerTo, invalid, good } = await open(t)
  const many = (count: number) =>
    Array.from({ length: count }, (_, i) => ({ type: 'repository', name: `team/r${i}`, actions: ['pull'] }))
  await good(t, await issuer.token('alice', [...PULL, ...many(100)]), 'a hundred repositories')
  await good(t, await issuer.token('alice', [...PULL, ...many(300)]), '15.30: some 24 KiB')
  const { socket, until } = await openSocket(app)
  const giant = await issuer.token('alice', many(1000))
  socket.write(`GET /v2/ HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer ${giant}\r\n\r\n`)
  t.match(await until('\0never'), /^HTTP\/1\.1 431 /, 'over a connection it does not get so far')
  const token = await issuer.token('alice', PULL)
  for (const text of [
    'a',
    'a.b',
    'a.b.c',
    `${token}.`,
    token.slice(0, -4),
    `.${token}`,
    `${token}.x.y`,
    '...',
    'e30.e30.'
  ]) {
    await invalid(t, text, text)
  }
  t.equal((await answerTo(`${token} x`)).status, 401)
  await fc.assert(
    fc.asyncProperty(fc.nat(token.length - 1), fc.constantFrom(...'Aa0_-.~'), async (at, letter) => {
      const changed = token.slice(0, at) + letter + token.slice(at + 1)
      const { status } = await answerTo(changed)
      // Of the last letter of base64, some bits say nothing.
      t.equal(status === 404, changed === token || (at === token.length - 1 && status === 404), `${letter} at ${at}`)
    })
  )
})
