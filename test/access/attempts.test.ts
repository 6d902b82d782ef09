import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import {
  ADDRESS_PAUSE_MS,
  CHECKS_AT_ONCE,
  createAttempts,
  FREE_ADDRESS_FAILURES,
  FREE_FAILURES,
  LONGEST_WAIT_MS,
  MOST_WAITING,
  PAUSE_MS,
  WAITING_OF_NAME
} from '../../src/access/attempts.ts'
import { hashOf, makeToken } from '../../src/access/robot-token.ts'
import { RegistryError } from '../../src/registry/errors.ts'
import { createRobots } from '../../src/registry/robots.ts'
import type { StorageDriver } from '../../src/storage/driver.ts'
import { createMemory } from '../../src/storage/memory.ts'
import { refused, told } from '../support/answers.ts'
import { basic, htpasswdOf, passwordOf, withHeaders } from '../support/callers.ts'
import { openRegistry } from '../support/registry.ts'

type Outcome = 'right' | 'wrong' | 'refused'

/** Attempts on a clock that the test turns. */
function createGuesser() {
  let now = 0
  let timers: { at: number; run: () => void }[] = []
  const attempt = createAttempts({
    now: () => now,
    after(ms, run) {
      const timer = { at: now + ms, run }
      timers.push(timer)
      return () => {
        timers = timers.filter(other => other !== timer)
      }
    }
  })
  const counts = { checks: 0, running: 0, most: 0 }
  let ids = 0

  /** A check takes some turns of the loop and, on the clock, `costMs`. */
  async function guess(right = false, user = 'alice', address = 'a', id = `${ids++}`, costMs = 0): Promise<Outcome> {
    const work = async () => {
      counts.checks++
      counts.most = Math.max(counts.most, ++counts.running)
      if (costMs === 0) await turn()
      else await new Promise<void>(resolve => timers.push({ at: now + costMs, run: resolve }))
      counts.running--
      return right || undefined
    }
    try {
      return (await attempt({ user, address }, id, work)) ? 'right' : 'wrong'
    } catch (error) {
      if (!(error instanceof RegistryError) || error.kind !== 'too-many-requests') throw error
      const { retryAfter } = error.details[0] as { retryAfter: number }
      if (retryAfter < 1 || retryAfter > 10) throw new Error(`Retry-After: ${retryAfter}`)
      return 'refused'
    }
  }

  /** Lets time pass, and everything happen that is due. */
  async function pass(ms: number): Promise<void> {
    const end = now + ms
    for (;;) {
      for (let turns = 0; turns < 30; turns++) await turn()
      const next = timers.sort((a, b) => a.at - b.at)[0]
      if (!next || next.at > end) break
      timers.shift()
      now = Math.max(now, next.at)
      next.run()
    }
    now = end
  }

  /** Waits for an outcome, letting as much time pass as that takes: how much it was, in ms. */
  async function within(outcome: Promise<Outcome>, most: number): Promise<[Outcome | undefined, ms: number]> {
    let settled: Outcome | undefined
    void outcome.then(value => (settled = value))
    const begun = now
    await pass(0)
    while (settled === undefined && now - begun < most) await pass(50)
    return [settled, now - begun]
  }
  const fail = async (times: number, user?: string, address?: string) => {
    for (let index = 0; index < times; index++) await within(guess(false, user, address), 60_000)
  }
  return { guess, pass, within, fail, counts }
}

t.test('15.8: wrong passwords hold up their name at their address, and nobody else', async t => {
  const { guess, within, fail } = createGuesser()
  await fail(FREE_FAILURES)
  for (const [user, address] of [
    ['alice', 'b'],
    ['bob', 'a'],
    ['bob', 'b']
  ] as const) {
    t.strictSame(await within(guess(true, user, address), 0), ['right', 0], `${user} at ${address}`)
  }
  const [outcome, ms] = await within(guess(true), PAUSE_MS)
  t.equal(outcome, 'right', 'the right one is checked in its turn as well')
  t.ok(ms > 0 && ms <= PAUSE_MS, `${ms} ms later`)
  t.strictSame(await within(guess(false), 0), ['wrong', 0], 'after which there was no failure')
})

t.test('15.8: how many guesses get through', async t => {
  const minute = async (connections: number, name: () => string) => {
    const { guess, pass, counts } = createGuesser()
    let over = false
    const guessing = Array.from({ length: connections }, async () => {
      while (!over) if ((await guess(false, name())) === 'refused') await turn()
    })
    await pass(60_000)
    over = true
    await pass(2 * LONGEST_WAIT_MS)
    await Promise.all(guessing)
    t.ok(counts.most <= CHECKS_AT_ONCE)
    return counts.checks
  }
  const ofName = await minute(1, () => 'alice')
  t.ok(ofName <= FREE_FAILURES + 60_000 / PAUSE_MS + 1, `${ofName} of one name`)
  const atOnce = await minute(20, () => 'alice')
  t.ok(atOnce <= ofName + WAITING_OF_NAME + 1, `${atOnce} of one name, 20 at a time`)
  let names = 0
  const ofNames = await minute(20, () => `user ${names++}`)
  const most = FREE_ADDRESS_FAILURES + 60_000 / ADDRESS_PAUSE_MS + 2 * CHECKS_AT_ONCE + 20
  t.ok(ofNames <= most, `${ofNames} of one address`)
})

t.test('15.8: guesses at the same moment gain nothing, and failures are forgiven in time', async t => {
  const { guess, pass, counts, within, fail } = createGuesser()
  const all = Array.from({ length: 1000 }, () => guess())
  await pass(0)
  t.equal(
    (await Promise.all(all.slice(WAITING_OF_NAME + 1))).every(outcome => outcome === 'refused'),
    true
  )
  t.equal(counts.checks, WAITING_OF_NAME + 1)
  t.equal(counts.most, 1)
  await fail(FREE_FAILURES)
  await pass(16 * 60_000)
  t.strictSame(await within(guess(), 0), ['wrong', 0])
  t.strictSame(await within(guess(), 0), ['wrong', 0])
})

t.test('15.28: 40 users with right passwords at once, from one address: nobody is refused', async t => {
  const { guess, pass, within, counts } = createGuesser()
  const users = Array.from({ length: 40 }, (_, index) => guess(true, `user ${index}`))
  await pass(0)
  t.strictSame(new Set(await Promise.all(users)), new Set(['right']))
  t.equal(counts.most, CHECKS_AT_ONCE)

  // Of the same address, a program with 10 connections tries passwords of one of them, as fast as it is let.
  let over = false
  const guessing = Array.from({ length: 10 }, async () => {
    while (!over) if ((await guess(false, 'user 0')) === 'refused') await turn()
  })
  await pass(60_000)
  t.strictSame(await within(guess(true, 'user 1'), 0), ['right', 0], 'another user')
  let [tries, waited] = [0, 0]
  for (let outcome: Outcome | undefined; outcome !== 'right'; tries++) {
    const [last, ms] = await within(guess(true, 'user 0', 'a', 'the right one'), LONGEST_WAIT_MS)
    outcome = last
    waited += ms
    if (outcome === 'refused') await pass(PAUSE_MS)
    if (tries > 5) break
  }
  t.ok(tries <= 2 && waited <= LONGEST_WAIT_MS, `the right password of that user: ${tries} tries, ${waited} ms`)
  over = true
  await pass(2 * LONGEST_WAIT_MS)
  await Promise.all(guessing)
})

t.test('15.8: a program that takes another name for each guess keeps out nobody at its address', async t => {
  for (const connections of [60, MOST_WAITING + 50]) {
    const { guess, pass, within } = createGuesser()
    t.strictSame(await within(guess(false, 'alice'), 0), ['wrong', 0], 'she has mistyped it once')
    let [names, over] = [0, false]
    const guessing = Array.from({ length: connections }, async () => {
      while (!over) if ((await guess(false, `guess ${names++}`)) === 'refused') await pass(0)
    })
    await pass(60_000)
    for (const user of ['alice', 'bob']) {
      let tries = 0
      let outcome: Outcome | undefined
      while (outcome !== 'right' && tries++ < 3) {
        ;[outcome] = await within(guess(true, user, 'a', `the right one of ${user}`), 2 * LONGEST_WAIT_MS)
      }
      t.equal(outcome, 'right', `${user}, among ${connections} connections`)
      t.ok(tries <= 2, `after ${tries} tries`)
    }
    over = true
    await pass(2 * LONGEST_WAIT_MS)
    await Promise.all(guessing)
  }
})

t.test('15.8: a turn goes to the address that was served longest ago', async t => {
  const { guess, pass, counts } = createGuesser()
  const flood = Array.from({ length: MOST_WAITING + 100 }, (_, index) =>
    guess(false, `user ${index}`, 'a', undefined, 100)
  )
  const victim = guess(true, 'bob', 'b', undefined, 100)
  await pass(0)
  t.equal(counts.checks, CHECKS_AT_ONCE)
  await pass(250)
  t.equal(await victim, 'right')
  t.ok(counts.checks <= 3 * CHECKS_AT_ONCE, 'it has waited for what was under way alone')
  await pass(2 * LONGEST_WAIT_MS)
  const outcomes = await Promise.all(flood)
  const refusals = outcomes.filter(outcome => outcome === 'refused').length
  t.ok(refusals > 100, 'more than may wait, or waited too long')
  t.equal(outcomes.length - refusals + 1, counts.checks)
})

t.test('15.8: whatever the order, every attempt ends, two at a time', async t => {
  const step = fc.record({
    user: fc.constantFrom('x', 'y'),
    address: fc.constantFrom('a', 'b'),
    right: fc.boolean(),
    wait: fc.constantFrom(0, 0, 0, 100, 3000),
    cost: fc.constantFrom(0, 50, 5000)
  })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async steps => {
      const { guess, pass, counts } = createGuesser()
      const outcomes: Promise<Outcome>[] = []
      for (const { user, address, right, wait, cost } of steps) {
        outcomes.push(guess(right, user, address, undefined, cost))
        await pass(wait)
      }
      await pass(120_000)
      const all = await Promise.all(outcomes)
      const checked = all.filter(outcome => outcome !== 'refused').length
      return counts.most <= CHECKS_AT_ONCE && counts.running === 0 && counts.checks === checked
    }),
    { numRuns: 60 }
  )
  t.pass()
})

async function open(t: Test, users: string[], storage: StorageDriver = createMemory()) {
  const htpasswdFile = join(t.testdir(), 'users')
  writeFileSync(htpasswdFile, await htpasswdOf(...users))
  const access = { htpasswdFile, robots: true, anonymous: 'none' as const }
  const { send } = await openRegistry(t, storage, { access, trustProxy: true })
  const from = (address: string, user: string, password: string) =>
    withHeaders(send, { ...basic(user, password), 'x-forwarded-for': address }).get('/v2/')
  return { from, storage }
}

t.test('15.8: strangers who guess keep nobody out', async t => {
  const { from, storage } = await open(t, ['alice', 'bob'])
  const token = makeToken()
  await createRobots(storage).create(hashOf(token), { name: 'ci', repositories: ['**'], actions: ['pull'], created: 0 })
  const guesses = Array.from({ length: FREE_FAILURES }, (_, index) => index)
  for (const index of guesses) {
    refused(t, await from(`2001:db8::${index}`, 'alice', `guess ${index}`), 401, 'UNAUTHORIZED', 'a guess')
    refused(t, await from('2001:db8::1', 'ci', `guess ${index}`), 401, 'UNAUTHORIZED', 'of a robot’s name')
  }
  told(t, await from('203.0.113.9', 'alice', passwordOf('alice')), 200, {}, 'alice, from elsewhere')
  told(t, await from('2001:db8::1', 'bob', passwordOf('bob')), 200, {}, 'somebody else, from where it is guessed')
  told(t, await from('2001:db8::1', 'alice', passwordOf('alice')), 200, {}, 'alice, whose password is remembered')
  told(t, await from('2001:db8::1', 'ci', token), 200, {}, 'a robot that nobody remembers')

  const burst = Array.from({ length: 40 }, (_, index) => from('2001:db8::1', 'alice', `burst ${index}`))
  const refusals = (await Promise.all(burst)).filter(({ status }) => status === 429)
  t.ok(refusals.length > 20, 'guesses at once')
  const [entry] = refused(t, refusals[0]!, 429, 'TOOMANYREQUESTS', 'one of them')
  t.match(entry, { message: 'too many failed logins, or too many at once', detail: { retryAfter: 2 } })
  told(t, refusals[0]!, 429, { 'retry-after': '2', 'www-authenticate': undefined }, 'when to come again')
})

t.test('15.28: right logins at once are all let in', async t => {
  const users = Array.from({ length: 40 }, (_, index) => `user${index}`)
  const { from, storage } = await open(t, users)
  const token = makeToken()
  await createRobots(storage).create(hashOf(token), { name: 'ci', repositories: ['**'], actions: ['pull'], created: 0 })
  const logins = await Promise.all(users.map(user => from('192.0.2.1', user, passwordOf(user))))
  t.strictSame(new Set(logins.map(({ status }) => status)), new Set([200]), '40 users from one address')
  const robots = await Promise.all(users.map(() => from('192.0.2.1', 'ci', token)))
  t.strictSame(new Set(robots.map(({ status }) => status)), new Set([200]), 'one token on 40 connections')
})

t.test('15.8: wrong tokens cost the store a bounded number of requests, and keep no right one out', async t => {
  const memory = createMemory()
  const requests: string[] = []
  const seen = (what: string, key: string) => {
    if (key.startsWith('system/robots/')) requests.push(what)
  }
  const storage: StorageDriver = {
    ...memory,
    get: async key => {
      seen('get', key)
      return memory.get(key)
    },
    list: async (prefix, options) => {
      seen('list', prefix)
      return memory.list(prefix, options)
    }
  }
  const { from } = await open(t, ['alice'], storage)
  const token = makeToken()
  const robots = createRobots(memory)
  await robots.create(hashOf(token), { name: 'ci', repositories: ['**'], actions: ['pull'], created: 0 })
  const wrong = Array.from({ length: 300 }, () => makeToken())
  const answers = await Promise.all([
    ...wrong.map(guess => from('192.0.2.1', 'ci', guess)),
    from('192.0.2.1', 'ci', token)
  ])
  const statuses = answers.map(({ status }) => status)
  t.equal(statuses.pop(), 200)
  t.strictSame(new Set(statuses), new Set([401, 429]), 'what is nobody’s token may be a password')
  t.ok(requests.filter(what => what === 'list').length <= 2, `${requests}`)
  t.equal(requests.filter(what => what === 'get').length, 1, 'only a token that there is is looked up')

  const made = makeToken()
  refused(t, await from('192.0.2.1', 'ci', makeToken()), 401, 'UNAUTHORIZED', 'a wrong one')
  await robots.create(hashOf(made), { name: 'new', repositories: ['**'], actions: ['pull'], created: 0 })
  told(t, await from('192.0.2.1', 'ci', made), 200, {}, 'one that was made this moment')
})

t.test('a program that goes on with an old password or a revoked token is no guesser', async t => {
  const { from } = await open(t, ['alice', 'bob'])
  const revoked = makeToken()
  for (let index = 0; index < 3 * FREE_FAILURES; index++) {
    refused(t, await from('192.0.2.1', 'alice', 'the old password'), 401, 'UNAUTHORIZED', 'the same again')
    refused(t, await from('192.0.2.1', 'ci', revoked), 401, 'UNAUTHORIZED', 'the same token again')
  }
  told(t, await from('192.0.2.1', 'bob', passwordOf('bob')), 200, {}, 'others at that address')
  const begun = performance.now()
  told(t, await from('192.0.2.1', 'alice', passwordOf('alice')), 200, {}, 'and its own user')
  t.ok(performance.now() - begun < PAUSE_MS, 'without a pause')
})
