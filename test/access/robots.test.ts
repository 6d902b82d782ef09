import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { hashOf, isToken, makeToken } from '../../src/access/robot-token.ts'
import { REVOKED_WITHIN_MS } from '../../src/access/robots.ts'
import { addToken } from '../../src/cli/token.ts'
import { createRobots, type Robot } from '../../src/registry/robots.ts'
import { type StorageDriver, StorageError } from '../../src/storage/driver.ts'
import { openFilesystem } from '../../src/storage/filesystem.ts'
import { createMemory } from '../../src/storage/memory.ts'
import { refused, told } from '../support/answers.ts'
import { basic, withHeaders } from '../support/callers.ts'
import { parse, type Send } from '../support/client.ts'
import { runCommand } from '../support/commands.ts'
import { random } from '../support/images.ts'
import { keysIn, type Opened, onEachDriver, openRegistry } from '../support/registry.ts'
import { keepSecret } from '../support/secrets.ts'

const access = { robots: true, anonymous: 'none' as const }
const DAY = 24 * 3600e3

/** A robot of the store, and its token. */
async function addRobot(storage: StorageDriver, given: Partial<Robot> = {}): Promise<string> {
  const token = makeToken()
  const robot: Robot = { name: 'ci', repositories: ['team/**'], actions: ['pull', 'push'], created: 0, ...given }
  if (!(await createRobots(storage).create(hashOf(token), robot))) throw new Error('there is one of this name')
  return token
}

const robotOf = (send: Send, token: string, user = 'ci') => withHeaders(send, basic(user, token))

t.test('a token is spelled so that scanners find it and a mistake shows', async t => {
  const token = makeToken()
  t.match(token, /^marina_[0-9A-Za-z]{42}$/)
  t.ok(isToken(token))
  t.not(makeToken(), token)
  fc.assert(
    fc.property(fc.nat(41), fc.constantFrom(...'0123456789abcXYZ_'), (index, letter) => {
      const at = 'marina_'.length + index
      const other = token.slice(0, at) + letter + token.slice(at + 1)
      return other === token || !isToken(other)
    })
  )
  for (const text of ['', 'marina_', ` ${token}`, `${token}\n`, token.toUpperCase(), token.slice(1)]) {
    t.notOk(isToken(text), JSON.stringify(text))
  }
})

onEachDriver(
  'a robot may do what its token says, under any user name, and nothing else',
  async (t, { storage, send }) => {
    const owner = robotOf(
      send,
      await addRobot(storage, { name: 'owner', repositories: ['**'], actions: ['pull', 'push', 'delete'] })
    )
    const token = await addRobot(storage)
    const secret = await owner.pushBlob('secret/app', random(20))
    for (const user of ['ci', 'whatever', '']) told(t, await robotOf(send, token, user).get('/v2/'), 200, {}, user)
    const robot = robotOf(send, token)
    const { digest } = await robot.pushImage('team/app', 'v1')
    t.strictSame(await robot.tags('team/app'), ['v1'])
    refused(t, await robot.del(`/v2/team/app/manifests/${digest}`), 403, 'DENIED', 'an action that it has not')
    refused(t, await robot.get('/v2/secret/app/tags/list'), 403, 'DENIED', 'another repository')
    refused(t, await robot.send('POST', '/v2/other/blobs/uploads/'), 403, 'DENIED', 'another repository')
    t.strictSame(parse(await robot.get('/v2/_catalog')).repositories, ['team/app'])
    const mount = `/v2/team/app/blobs/uploads/?mount=${secret}`
    for (const from of ['', '&from=secret/app']) {
      told(t, await robot.send('POST', mount + from), 202, {}, 'what it may not pull it can not mount')
    }
    refused(t, await robotOf(send, makeToken()).get('/v2/'), 401, 'UNAUTHORIZED', 'a token that is none')
    refused(t, await withHeaders(send, basic(token, '')).get('/v2/'), 401, 'UNAUTHORIZED', 'in the wrong field')
    refused(t, await send('GET', '/v2/'), 401, 'UNAUTHORIZED', 'nobody')
    for (const key of await keysIn(storage, 'system/')) {
      const { bytes } = (await storage.get(key))!
      t.notOk(key.includes(token) || bytes.includes(token), `${key} does not hold it`)
    }
  },
  { access }
)

t.test('a rule for everybody adds nothing to a token, and one for users neither', async t => {
  const policy = "rules:\n- {anonymous: true, repositories: ['**'], actions: ['*']}"
  const policyFile = join(t.testdir({ policy }), 'policy')
  const { send, storage } = await openRegistry(t, createMemory(), { access: { ...access, policyFile } })
  const robot = robotOf(send, await addRobot(storage, { actions: ['pull'] }))
  refused(t, await robot.send('POST', '/v2/team/app/blobs/uploads/'), 403, 'DENIED', 'push')
  refused(t, await robot.get('/v2/public/app/tags/list'), 403, 'DENIED', 'another repository')
  told(t, await send('POST', '/v2/team/app/blobs/uploads/'), 202, {}, 'while everybody else may')
})

t.test('every replica lets go of a revoked token in time, and of one that is over at once', async t => {
  let now = Date.UTC(2026, 0)
  const first = await openRegistry(t, createMemory(), { access, now: () => now })
  const second = await first.peer()
  const token = await addRobot(first.storage, { name: 'revoked' })
  const short = await addRobot(first.storage, { name: 'short', expires: now + 1000 })
  const statuses = async (of: string) =>
    Promise.all([first, second].map(async ({ send }) => (await robotOf(send, of).get('/v2/')).status))
  t.strictSame(
    [await statuses(token), await statuses(short)],
    [
      [200, 200],
      [200, 200]
    ]
  )
  now += 1000
  t.strictSame(await statuses(short), [401, 401])
  await createRobots(first.storage).revoke('revoked')
  now += REVOKED_WITHIN_MS - 1001
  t.strictSame(await statuses(token), [200, 200], 'what is remembered holds for a while')
  now += 1
  t.strictSame(await statuses(token), [401, 401])
})

t.test('a token costs a read of the store in ten seconds, and a store that is away is no wrong token', async t => {
  let now = Date.UTC(2026, 0)
  const memory = createMemory()
  let [reads, away] = [0, false]
  const storage: StorageDriver = {
    ...memory,
    get: async key => {
      if (!key.startsWith('system/robots/')) return memory.get(key)
      reads++
      if (away) throw new StorageError('unavailable', 'away')
      return memory.get(key)
    }
  }
  const { send } = await openRegistry(t, storage, { access, now: () => now })
  const robot = robotOf(send, await addRobot(memory))
  await Promise.all(Array.from({ length: 20 }, () => robot.get('/v2/')))
  t.equal(reads, 1)
  now += REVOKED_WITHIN_MS
  await robot.get('/v2/')
  t.equal(reads, 2)
  away = true
  t.equal((await robot.get('/v2/')).status, 200)
  now += REVOKED_WITHIN_MS
  t.equal((await robot.get('/v2/')).status, 503)
  const password = withHeaders(send, basic('alice', 'no-token-at-all'))
  t.equal((await password.get('/v2/')).status, 401)
  t.equal(reads, 3, 'what is no token costs nothing')
})

t.test('no line of the log has a token in it, wherever a client puts it', async t => {
  const { send, storage } = await openRegistry(t, createMemory(), { access })
  const token = await addRobot(storage)
  await robotOf(send, token)
    .tags('team/app')
    .catch(() => undefined)
  for (const headers of [basic(token, token), basic(token, ''), { authorization: `Bearer ${token}` }]) {
    await send('GET', '/v2/', { headers })
  }
  t.pass('the log is looked through when the registry closes')
})

interface Folder extends Opened {
  path: string
  token(...args: string[]): ReturnType<typeof runCommand>
}

async function openFolder(t: Test, now?: () => number): Promise<Folder> {
  const path = mkdtempSync(join(tmpdir(), 'marina-robots-'))
  t.teardown(() => rmSync(path, { recursive: true, force: true }))
  const registry = await openRegistry(t, await openFilesystem({ path }), { access, ...(now && { now }) })
  const env = { STORAGE_PATH: path, AUTH_ROBOT_TOKENS: 'true' }
  return { ...registry, path, token: (...args) => runCommand(t, [addToken], env, 'token', ...args) }
}

t.test('token create, list and revoke beside a server', async t => {
  const { send, token, path } = await openFolder(t)
  t.match(await token('list'), { code: 0, out: '' })
  const made = await token('create', '--name', 'ci', '--repository', 'team/*', 'tools', '--actions', 'push, pull')
  t.match(made, {
    code: 0,
    out: /^marina_\w{42}\n$/,
    err: /^ci: pull, push in team\/\*, tools, until 20\S+Z\. The token/
  })
  const secret = made.out.trim()
  keepSecret(secret)
  const modeOf = (name: string) => (statSync(join(path, name)).mode & 0o777).toString(8)
  const [file = ''] = readdirSync(join(path, 'system/robots'))
  const modes = ['system', 'system/robots', `system/robots/${file}`].map(modeOf)
  t.strictSame(modes, ['700', '700', '600'], '15.6: what the command writes is its owner’s alone')
  const robot = robotOf(send, secret)
  await robot.pushImage('team/app', 'v1')
  await robot.pushImage('tools', 'v1')
  refused(t, await robot.get('/v2/team/app/deep/tags/list'), 403, 'DENIED', 'what the pattern does not take')

  const day = new Date().toISOString().slice(0, 10)
  const listed = async () => JSON.parse((await token('list', '--json')).out) as (Robot & { lastUsed?: string })[]
  for (let tries = 0; tries < 50 && !(await listed())[0]?.lastUsed; tries++) await sleep(20)
  const [robotListed, ...others] = await listed()
  t.match(robotListed, { name: 'ci', repositories: ['team/*', 'tools'], actions: ['pull', 'push'], lastUsed: day })
  t.equal(others.length, 0)
  const { created, expires } = robotListed as unknown as { created: string; expires: string }
  t.equal(Date.parse(expires) - Date.parse(created), 90 * DAY, 'good for 90 days unless something else is said')
  t.match(await token('list'), { code: 0, out: new RegExp(`^ci: pull, push in .*, last used on ${day}\n$`) })

  const another = ['create', '--name', 'ci', '--repository', 'x']
  t.match(await token(...another), { code: 1, out: '', err: /^CommandError: there is a token called ci; revoke it/ })
  t.match(await token('revoke', 'none'), { code: 1, err: /^CommandError: there is no token called none$/ })
  t.match(await token('revoke', 'ci'), { code: 0, out: /^ci is revoked: no server takes it after 10 s from now\n$/ })
  t.strictSame(await listed(), [])
  t.match(await token(...another, '--expires', 'never'), { code: 0, err: /^ci: pull in x, for ever\./ })
  t.match(await listed(), [{ name: 'ci', lastUsed: undefined, expires: undefined }])
})

t.test('what token create does not take', async t => {
  const { token } = await openFolder(t)
  for (const [args, problem] of [
    [['--name', 'CI', '--repository', 'a'], /^CommandError: "CI" can't be a name/],
    [['--name', '../ci', '--repository', 'a'], /^CommandError: "\.\.\/ci" can't be a name/],
    [['--name', 'ci', '--repository', 'Team'], /^CommandError: "Team" matches no repository/],
    [
      ['--name', 'ci', '--repository', 'a', '--actions', 'pull,write'],
      /^CommandError: "write" is no action; allowed: pull/
    ],
    [['--name', 'ci', '--repository', 'a', '--actions', ''], /^CommandError: "" is no action/],
    [['--name', 'ci', '--repository', 'a', '--expires', '90'], /^CommandError: --expires is "90"; allowed: from 1m/]
  ] as [string[], RegExp][]) {
    t.match(await token('create', ...args), { code: 2, out: '', err: problem })
  }
  t.match(await token('list', '--json'), { out: '[]\n' })
})
