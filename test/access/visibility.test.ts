import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { StorageDriver } from '../../src/storage/driver.ts'
import { createMemory } from '../../src/storage/memory.ts'
import { refused, told } from '../support/answers.ts'
import { clientOf, htpasswdOf } from '../support/callers.ts'
import { type Client, nextOf, parse } from '../support/client.ts'
import { absent, digestOf, random } from '../support/images.ts'
import { keysIn, openRegistry, type Settings } from '../support/registry.ts'

const USERS = ['alice', 'ci', 'owner'] as const

const POLICY = `
rules:
  - {users: [alice], repositories: [team/**], actions: [pull, push]}
  - {users: [ci], repositories: [ci/**], actions: [pull, push]}
  - {users: [ci], repositories: [team/shared], actions: [pull]}
  - {users: [owner], repositories: ['**'], actions: ['*']}
`

async function open(t: Test, policy = POLICY, storage: StorageDriver = createMemory(), settings: Settings = {}) {
  const folder = t.testdir({ policy })
  writeFileSync(join(folder, 'users'), await htpasswdOf(...USERS))
  const access = { htpasswdFile: join(folder, 'users'), policyFile: join(folder, 'policy'), anonymous: 'none' as const }
  const { send } = await openRegistry(t, storage, { access, ...settings })
  const as = (user: (typeof USERS)[number]) => clientOf(send, user)
  return { alice: as('alice'), ci: as('ci'), owner: as('owner'), policyFile: access.policyFile, storage }
}

t.test('the catalog shows what the asker may pull, in whole pages', async t => {
  const { alice, ci, owner } = await open(t)
  const names = Array.from({ length: 40 }, (_, i) => `${['ci', 'other', 'team'][i % 3]}/r${String(i).padStart(2, '0')}`)
  for (const name of [...names, 'team/shared']) await owner.pushBlob(name, random(8))
  const mine = (...starts: string[]) =>
    [...names, 'team/shared'].filter(name => starts.some(at => name.startsWith(at))).sort()
  const all = async (client: typeof alice, query = '') => {
    const seen: string[] = []
    const sizes: number[] = []
    for (let path: string | undefined = `/v2/_catalog${query}`; path; ) {
      const answer = await client.get(path)
      const { repositories } = parse(answer) as { repositories: string[] }
      seen.push(...repositories)
      sizes.push(repositories.length)
      path = nextOf(answer)
    }
    return { seen, sizes }
  }
  t.strictSame((await all(owner)).seen, mine(''))
  t.strictSame((await all(alice)).seen, mine('team/'))
  t.strictSame((await all(ci)).seen, mine('ci/', 'team/shared'))
  const paged = await all(alice, '?n=5')
  t.strictSame(paged.seen, mine('team/'))
  t.ok(
    paged.sizes.slice(0, -1).every(size => size === 5),
    `pages of ${paged.sizes}`
  )
  t.strictSame(parse(await alice.get('/v2/_catalog?n=2&last=other/r01')).repositories, mine('team/').slice(0, 2))
})

t.test('a mount needs pull on its source', async t => {
  const { alice, ci, owner } = await open(t)
  const [secret, shared, own] = [random(50), random(50), random(50)]
  const digests = {
    secret: await alice.pushBlob('team/secret', secret),
    shared: await alice.pushBlob('team/shared', shared),
    own: await ci.pushBlob('ci/one', own)
  }
  const mount = (client: typeof ci, digest: string, from: string | undefined, to = 'ci/app') =>
    client.send('POST', `/v2/${to}/blobs/uploads/?mount=${digest}${from === undefined ? '' : `&from=${from}`}`)
  told(t, await mount(ci, digests.secret, 'team/secret'), 202, {}, 'a secret source')
  told(t, await mount(ci, digests.secret, 'team/nothing'), 202, {}, 'a source that is not there')
  told(t, await mount(ci, digests.secret, undefined), 202, {}, 'without from, what is in secret sources only')
  refused(t, await ci.head(`/v2/ci/app/blobs/${digests.secret}`), 404, 'BLOB_UNKNOWN', 'and it is not there', 'HEAD')
  told(t, await mount(ci, digests.shared, 'team/shared'), 201, {}, 'a source that may be pulled')
  told(t, await mount(ci, digests.shared, undefined, 'ci/other'), 201, {}, 'without from')
  told(t, await mount(ci, digests.own, undefined, 'ci/other'), 201, {}, 'without from, of its own')
  told(t, await ci.head(`/v2/ci/other/blobs/${digests.own}`), 200, {}, 'mounted')
  told(t, await mount(owner, digests.secret, undefined, 'ci/other'), 201, {}, 'who may pull all needs no source')
  refused(t, await mount(ci, digests.own, 'ci/one', 'team/shared'), 403, 'DENIED', 'a target that is not its own')
})

t.test('15.13: a mount that names no source asks the store the same, whatever repositories hide', async t => {
  const calls: string[] = []
  const storage = createMemory({ faults: (method, key) => void calls.push(`${method} ${key}`) })
  const { alice, ci } = await open(t, POLICY, storage)
  await ci.pushBlob('ci/one', random(10))
  for (const name of ['team/one', 'team/two']) await alice.pushBlob(name, random(10))
  const asked = async (digest: string) => {
    calls.length = 0
    const answer = await ci.send('POST', `/v2/ci/app/blobs/uploads/?mount=${digest}`)
    told(t, answer, 202, {}, 'not mounted')
    return calls.map(call => call.replace(digest.slice('sha256:'.length), '<hex>'))
  }
  await asked(absent()) // the first one may ask for more, such as the key that signs sessions
  const hidden = await asked(await alice.pushBlob('team/secret', random(100 * 1024)))
  t.ok(hidden.length > 0)
  t.strictSame(hidden, await asked(absent()), 'a digest that is nowhere')
})

const LIMITS = {
  'no quota': undefined,
  'a quota with room': 1024 * 1024,
  'a quota that is used up': 1000
}
const SESSION_REQUESTS = {
  'GET of a session': (client: Client, url: string) => client.get(url),
  'PATCH of a session': (client: Client, url: string) => client.patch(url, random(10)),
  'PATCH of a session, chunked': (client: Client, url: string) => client.patch(url, random(10), { chunked: true }),
  'PUT of a session': (client: Client, url: string) =>
    client.close(url, digestOf(Buffer.from('x')), { body: Buffer.from('x') }),
  'DELETE of a session': (client: Client, url: string) => client.del(url)
}

t.test('15.2: a session is its owner’s alone, with and without a quota', async t => {
  const policy = "rules:\n  - {users: [alice, ci], repositories: ['**'], actions: [pull, push]}\n"
  for (const [limit, bytes] of Object.entries(LIMITS)) {
    const quotas = bytes === undefined ? [] : [{ pattern: 'team/**', bytes }]
    const { alice, ci } = await open(t, policy, createMemory(), { quotas })
    for (const [index, [what, ask]] of Object.entries(SESSION_REQUESTS).entries()) {
      const begin = async () => (await alice.send('POST', `/v2/team/app${index}/blobs/uploads/`)).headers.location!
      refused(t, await ask(ci, await begin()), 404, 'BLOB_UPLOAD_UNKNOWN', `${what} by another user, ${limit}`)
      const session = await begin()
      if (bytes === 1000) {
        // What is on its way counts, and what was begun before may still be asked about and given up.
        await alice.patch(await begin(), random(1000))
        const refuses = /^P/.test(what)
        const answer = await ask(alice, session)
        if (refuses) refused(t, answer, 403, 'DENIED', `${what} by its owner, ${limit}`)
        else told(t, answer, 204, {}, `${what} by its owner, ${limit}`)
      } else t.ok((await ask(alice, session)).status < 300, `${what} by its owner, ${limit}`)
    }
  }
})

t.test('15.2: a mount tells the same of what a repository hides, whatever quota there is', async t => {
  for (const [limit, bytes] of Object.entries(LIMITS)) {
    const quotas = bytes === undefined ? [] : [{ pattern: 'ci/**', bytes }]
    const { alice, ci } = await open(t, POLICY, createMemory(), { quotas })
    for (const used of [0, 990]) {
      if (used > 0) await ci.pushBlob('ci/app', random(used))
      const sizes = [1, 100, 2000, 100 * 1024]
      for (const size of sizes) {
        const hidden = await alice.pushBlob('team/secret', random(size))
        for (const from of ['&from=team/secret', '']) {
          const mount = (digest: string) => ci.send('POST', `/v2/ci/app/blobs/uploads/?mount=${digest}${from}`)
          const [there, nowhere] = [await mount(hidden), await mount(absent())]
          t.equal(there.status, nowhere.status, `${size} bytes${from}, ${limit}, ${used} used`)
          t.equal(there.status, 202)
        }
      }
    }
  }
})

t.test('HEAD writes for who may push, and for nobody else', async t => {
  let now = Date.UTC(2026, 0)
  const storage = createMemory({ now: () => now })
  const { alice, ci } = await open(t, POLICY, storage)
  const digest = await alice.pushBlob('team/shared', random(50))
  now += 13 * 3600e3
  const before = await keysIn(storage, 'repositories/')
  told(t, await ci.head(`/v2/team/shared/blobs/${digest}`), 200, {}, 'HEAD by one who may pull')
  t.strictSame(await keysIn(storage, 'repositories/'), before)
  told(t, await alice.head(`/v2/team/shared/blobs/${digest}`), 200, {}, 'HEAD by one who may push')
  t.equal((await keysIn(storage, 'repositories/')).length, before.length + 1)
})

t.test('the policy is read again when it changes; one that can not be used changes nothing', async t => {
  const { ci, policyFile } = await open(t)
  const status = async () => (await ci.send('POST', '/v2/team/app/blobs/uploads/')).status
  t.equal(await status(), 403)
  writeFileSync(policyFile, 'rules:\n- {users: [ci], repositories: [team/app], actions: [push]}')
  for (let tries = 0; tries < 100 && (await status()) !== 202; tries++) await sleep(100)
  t.equal(await status(), 202)
  writeFileSync(policyFile, 'rules: nonsense')
  await sleep(2500)
  t.equal(await status(), 202)
})
