import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { hashPassword } from '../../src/access/passwords.ts'
import { createMemory } from '../../src/storage/memory.ts'
import { openSocket } from '../plugins/edge.ts'
import { refused, told } from '../support/answers.ts'
import { basic, clientOf, htpasswdOf, passwordOf, withHeaders } from '../support/callers.ts'
import { digestOf, random } from '../support/images.ts'
import { openRegistry } from '../support/registry.ts'

const CHALLENGE = { 'www-authenticate': 'Basic realm="registry", charset="UTF-8"' }

async function open(t: Test, text: string, anonymous: 'none' | 'pull' = 'none') {
  const file = join(t.testdir(), 'htpasswd')
  writeFileSync(file, text)
  const registry = await openRegistry(t, createMemory(), { access: { htpasswdFile: file, anonymous } })
  return { ...registry, file }
}

t.test('who has logged in may do everything, others nothing', async t => {
  const { app, send } = await open(t, await htpasswdOf('alice'))
  const [alice, anonymous] = [clientOf(send, 'alice'), clientOf(send, undefined)]
  told(t, await alice.get('/v2/'), 200, { 'www-authenticate': undefined }, 'the base')
  const { digest } = await alice.pushImage('team/app', 'v1')
  t.strictSame(await alice.tags('team/app'), ['v1'])

  for (const path of ['/v2/', '/v2/_catalog', '/v2/team/app/tags/list', `/v2/team/app/manifests/${digest}`]) {
    const answer = await anonymous.get(path)
    refused(t, answer, 401, 'UNAUTHORIZED', path)
    told(t, answer, 401, CHALLENGE, path)
    refused(t, await anonymous.head(path), 401, 'UNAUTHORIZED', path, 'HEAD')
  }
  refused(t, await anonymous.send('POST', '/v2/team/app/blobs/uploads/'), 401, 'UNAUTHORIZED', 'POST')
  refused(t, await anonymous.del('/v2/team/app/manifests/v1'), 401, 'UNAUTHORIZED', 'DELETE')
  const wrong = withHeaders(send, basic('alice', 'wrong'))
  told(t, await wrong.get('/v2/team/app/tags/list'), 401, CHALLENGE, 'a wrong password')
  refused(t, await anonymous.get('/v2/nothing'), 404, 'UNSUPPORTED', 'what is no endpoint tells nothing of the content')
  refused(t, await anonymous.send('POST', '/v2/team/app/tags/list'), 405, 'UNSUPPORTED', 'nor does another method')
  told(t, await alice.del(`/v2/team/app/manifests/${digest}`), 202, {}, 'DELETE')
  await app.close()
})

t.test('AUTH_ANONYMOUS=pull opens reading, and the base still asks who it is', async t => {
  const { send } = await open(t, await htpasswdOf('alice'), 'pull')
  const [alice, anonymous] = [clientOf(send, 'alice'), clientOf(send, undefined)]
  const { digest } = await alice.pushImage('team/app', 'v1')
  t.strictSame(await anonymous.tags('team/app'), ['v1'])
  told(t, await anonymous.getManifest('team/app', digest), 200, {}, 'a manifest')
  told(t, await anonymous.get('/v2/_catalog'), 200, {}, 'the catalog')
  told(t, await anonymous.get('/v2/'), 401, CHALLENGE, 'the base')
  told(t, await anonymous.send('POST', '/v2/team/app/blobs/uploads/'), 401, CHALLENGE, 'a push')
  told(t, await anonymous.del('/v2/team/app/manifests/v1'), 401, CHALLENGE, 'a deletion')
  refused(t, await withHeaders(send, basic('alice', 'x')).get('/v2/team/app/tags/list'), 401, 'UNAUTHORIZED', 'wrong')
})

t.test('what a header may say', async t => {
  const password = 'a:ß:🔑 c'
  const { send } = await open(t, `zoë:${await hashPassword(password, 4)}\nempty:${await hashPassword('', 4)}`, 'pull')
  const statusOf = async (authorization: string) => (await send('GET', '/v2/', { headers: { authorization } })).status
  const encoded = Buffer.from(`zoë:${password}`).toString('base64')
  for (const scheme of ['Basic', 'basic', 'BASIC ']) t.equal(await statusOf(`${scheme} ${encoded}`), 200, scheme)
  t.equal(await statusOf(basic('empty', '').authorization), 200, 'an empty password')
  t.equal(await statusOf('Basic Og=='), 401, 'no name and no password: nobody')
  const reading = await send('GET', '/v2/_catalog', { headers: { authorization: 'Basic Og==' } })
  t.equal(reading.status, 200, 'nobody may read here')
  for (const header of [
    '',
    'Basic',
    'Basic ',
    'Basic !',
    `Basic ${encoded} x`,
    `Basic ${Buffer.from('zoë').toString('base64')}`,
    `Basic ${Buffer.from(`zoë:${password}`, 'latin1').toString('base64')}`,
    `Bearer ${encoded}`,
    `Digest username="zoë"`,
    encoded
  ]) {
    t.equal((await send('GET', '/v2/_catalog', { headers: { authorization: header } })).status, 401, header)
  }
})

t.test('a refused push sends no body', async t => {
  const { app, send } = await open(t, await htpasswdOf('alice'))
  const bytes = random(100)
  const push = (headers: string[]) =>
    [
      `POST /v2/team/app/blobs/uploads/?digest=${digestOf(bytes)} HTTP/1.1`,
      'Host: h',
      ...headers,
      `Content-Length: ${bytes.length}`,
      'Expect: 100-continue',
      '',
      ''
    ].join('\r\n')
  const refusal = await openSocket(app)
  refusal.socket.write(push([]))
  const answer = await refusal.until('"errors"')
  t.match(answer, /^HTTP\/1\.1 401 /)
  t.notMatch(answer, /100 Continue/)
  const accepted = await openSocket(app)
  accepted.socket.write(push([`Authorization: ${basic('alice', passwordOf('alice')).authorization}`]))
  await accepted.until('100 Continue')
  accepted.socket.write(bytes)
  t.match(await accepted.until('201 Created'), /201 Created/)
  for (const { socket } of [refusal, accepted]) socket.destroy()
  told(t, await clientOf(send, 'alice').head(`/v2/team/app/blobs/${digestOf(bytes)}`), 200, {}, 'the blob')
})

t.test('the file is read again when it changes; one that can not be used changes nothing', async t => {
  const { send, file } = await open(t, await htpasswdOf('alice'))
  const statusOf = async (user: string) => (await clientOf(send, user).get('/v2/')).status
  const until = async (user: string, status: number) => {
    for (let tries = 0; tries < 100 && (await statusOf(user)) !== status; tries++) await sleep(100)
    t.equal(await statusOf(user), status, `${user}: ${status}`)
  }
  t.strictSame([await statusOf('alice'), await statusOf('bob')], [200, 401])
  writeFileSync(file, await htpasswdOf('bob'))
  await until('bob', 200)
  t.equal(await statusOf('alice'), 401, 'what was remembered of her counts no more')
  writeFileSync(file, 'carol:secret')
  await sleep(2500)
  t.equal(await statusOf('bob'), 200, 'a bad file leaves the old one in force')
  writeFileSync(file, await htpasswdOf('bob', 'carol'))
  await until('carol', 200)
})
