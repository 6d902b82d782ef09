import { createHash } from 'node:crypto'
import t, { type Test } from 'tap'
import { startRegistry, type TestRegistry } from '../src/testing.ts'

const bytes = Buffer.from('0123456789'.repeat(20_000))
const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`
const blob = `/v2/app/blobs/${digest}`

/** A registry that holds a blob. */
async function start(t: Test): Promise<TestRegistry> {
  const registry = await startRegistry()
  t.teardown(registry.close)
  const post = await fetch(`${registry.url}/v2/app/blobs/uploads/?digest=${digest}`, { method: 'POST', body: bytes })
  t.equal(post.status, 201)
  registry.clear()
  return registry
}

async function pull(registry: TestRegistry): Promise<Buffer> {
  const answer = await fetch(registry.url + blob)
  return Buffer.from(await answer.arrayBuffer())
}

t.test('two are apart, and each starts empty', async t => {
  const [one, other] = [await start(t), await startRegistry()]
  t.teardown(other.close)
  t.ok((await pull(one)).equals(bytes))
  t.equal((await fetch(other.url + blob)).status, 404)
  t.equal(one.url, `http://${one.host}`)
})

t.test('requests are told in their order, with their status', async t => {
  const registry = await start(t)
  await fetch(registry.url + blob, { method: 'HEAD', headers: { 'x-test': 'yes' } })
  await fetch(`${registry.url}/v2/app/tags/list?n=1`)
  t.match(registry.requests, [
    { method: 'HEAD', path: blob, status: 200, headers: { 'x-test': 'yes' } },
    { method: 'GET', path: '/v2/app/tags/list?n=1', status: 200 }
  ])
  registry.clear()
  t.strictSame(registry.requests, [])
})

t.test('a fault meets the requests that it is for, as often as it says', async t => {
  const registry = await start(t)
  registry.fail({ status: 429 }, { method: 'GET', path: /\/blobs\//, times: 2 })
  const statuses = async () => {
    const answers = [await fetch(registry.url + blob, { method: 'HEAD' }), await fetch(registry.url + blob)]
    return answers.map(({ status }) => status)
  }
  t.strictSame(await statuses(), [200, 429])
  const refused = await fetch(registry.url + blob)
  t.equal(refused.headers.get('retry-after'), '0')
  t.match(await refused.json(), { errors: [{ code: 'TOOMANYREQUESTS' }] })
  t.strictSame(await statuses(), [200, 200])
  const takeBack = registry.fail({ status: 503, headers: { 'Retry-After': '7' } }, { path: '/v2/app' })
  takeBack()
  t.strictSame(await statuses(), [200, 200])
  registry.fail({ status: 503, headers: { 'Retry-After': '7' } })
  t.equal((await fetch(`${registry.url}/v2/`)).headers.get('retry-after'), '7')
})

t.test('a body that is cut', async t => {
  const registry = await start(t)
  for (const cutAfterBytes of [0, 1, 150_000, bytes.length - 1]) {
    registry.fail({ cutAfterBytes })
    const answer = await fetch(registry.url + blob)
    t.strictSame([answer.status, answer.headers.get('content-length')], [200, String(bytes.length)])
    let received = 0
    const read = async () => {
      for await (const chunk of answer.body!) received += chunk.length
    }
    await t.rejects(read(), `the connection breaks after ${cutAfterBytes} bytes`)
    t.equal(received, cutAfterBytes)
  }
  t.ok((await pull(registry)).equals(bytes), 'and the next pull is whole')
})

t.test('a body that is not what its digest says', async t => {
  const registry = await start(t)
  registry.fail({ corrupt: true })
  const spoiled = await pull(registry)
  t.equal(spoiled.length, bytes.length)
  t.notOk(spoiled.equals(bytes))
  registry.fail({ wrongDigest: true })
  t.not((await fetch(registry.url + blob)).headers.get('docker-content-digest'), digest)
  t.ok((await pull(registry)).equals(bytes), 'what is stored is not touched')
})

t.test('an answer that is late, and one that is slow', async t => {
  const registry = await start(t)
  const timed = async () => {
    const begun = performance.now()
    t.ok((await pull(registry)).equals(bytes))
    return performance.now() - begun
  }
  registry.fail({ delayMs: 200 })
  t.ok((await timed()) >= 199)
  registry.fail({ bytesPerSecond: bytes.length * 4 })
  t.ok((await timed()) >= 240)
})

t.test('settings', async t => {
  const registry = await startRegistry({ deleteEnabled: false })
  t.teardown(registry.close)
  t.equal((await fetch(registry.url + blob, { method: 'DELETE' })).status, 405)
})

t.test('15.23: logins: only they push, and anonymous clients pull where they may', async t => {
  const basic = (credentials: string) => ({ authorization: `Basic ${Buffer.from(credentials).toString('base64')}` })
  for (const anonymous of [undefined, 'pull'] as const) {
    await using registry = await startRegistry({ logins: { ann: 'a:b', bob: 'c' }, ...(anonymous && { anonymous }) })
    const push = (headers: Record<string, string> = {}) =>
      fetch(`${registry.url}/v2/app/blobs/uploads/?digest=${digest}`, { method: 'POST', body: bytes, headers })
    const refused = await push()
    t.equal(refused.status, 401)
    t.match(refused.headers.get('www-authenticate'), /^Basic realm=/)
    t.match(await refused.json(), { errors: [{ code: 'UNAUTHORIZED' }] })
    for (const wrong of ['ann:a', 'ann:', 'ann', 'bob:a:b', 'toString:c', '__proto__:c', ':', '']) {
      t.equal((await push(basic(wrong))).status, 401, wrong)
    }
    t.equal((await push({ authorization: 'Bearer c' })).status, 401)
    t.equal((await push(basic('ann:a:b'))).status, 201)
    const read = (headers: Record<string, string> = {}) => fetch(registry.url + blob, { headers })
    t.equal((await read(basic('bob:c'))).status, 200)
    t.equal((await read()).status, anonymous ? 200 : 401)
    t.equal((await read(basic('bob:d'))).status, 401)
    t.equal((await fetch(`${registry.url}/v2/`)).status, 401)
  }
})
