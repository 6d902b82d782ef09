import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { createAttempts, FREE_FAILURES, LONGEST_DELAY_MS } from '../../src/access/attempts.ts'
import { parseHtpasswd } from '../../src/access/htpasswd.ts'
import { createPasswords } from '../../src/access/passwords.ts'
import { hashOf, makeToken } from '../../src/access/robot-token.ts'
import { RegistryError } from '../../src/registry/errors.ts'
import { createRobots } from '../../src/registry/robots.ts'
import { createMemory } from '../../src/storage/memory.ts'
import { refused, told } from '../support/answers.ts'
import { basic, htpasswdOf, passwordOf, withHeaders } from '../support/callers.ts'
import { openRegistry } from '../support/registry.ts'

type Outcome = 'right' | 'wrong' | number

/** Attempts on a clock that the test turns; an outcome that is a number is the seconds to wait. */
function createGuesser() {
  const clock = { now: 1_000_000 }
  const attempt = createAttempts(() => clock.now)
  const guess = async (right = false, user = 'alice', address = '192.0.2.1'): Promise<Outcome> => {
    try {
      return (await attempt({ user, address }, async () => right || undefined)) ? 'right' : 'wrong'
    } catch (error) {
      if (!(error instanceof RegistryError) || error.kind !== 'too-many-requests') throw error
      return error.details[0]!.retryAfter as number
    }
  }
  const fail = async (times: number, user?: string, address?: string) => {
    for (let index = 0; index < times; index++) await guess(false, user, address)
  }
  return { clock, guess, fail }
}

t.test('after some failures each next one has to wait twice as long, up to a minute', async t => {
  const { clock, guess, fail } = createGuesser()
  await fail(FREE_FAILURES - 1)
  t.equal(await guess(), 'wrong')
  for (const seconds of [1, 2, 4, 8, 16, 32, 60, 60]) {
    t.equal(await guess(true), seconds, 'the right one would wait as well')
    clock.now += seconds * 1000 - 1
    t.equal(await guess(), 1)
    clock.now += 1
    t.equal(await guess(), 'wrong')
  }
})

t.test('of an address and under a name, apart', async t => {
  const { guess, fail } = createGuesser()
  await fail(FREE_FAILURES, 'alice', 'a')
  t.equal(await guess(false, 'bob', 'a'), 1, 'the address waits')
  t.equal(await guess(false, 'alice', 'b'), 1, 'the name waits')
  t.equal(await guess(true, 'bob', 'b'), 'right')
  const spread = createGuesser()
  for (let index = 0; index < FREE_FAILURES; index++) await spread.fail(1, 'alice', `address ${index}`)
  t.equal(await spread.guess(false, 'alice', 'another'), 1, 'one name, from everywhere')
})

t.test('a login forgives the name, not the address, and time forgives both', async t => {
  const { clock, guess, fail } = createGuesser()
  await fail(FREE_FAILURES - 1, 'alice', 'a')
  t.equal(await guess(true, 'alice', 'a'), 'right')
  await fail(1, 'mallory', 'a')
  t.equal(await guess(false, 'mallory', 'a'), 1, 'who has a password of their own guesses no faster')
  t.equal(await guess(false, 'alice', 'b'), 'wrong')
  clock.now += 16 * 60_000
  t.equal(await guess(false, 'mallory', 'a'), 'wrong')
  t.equal(await guess(false, 'mallory', 'a'), 'wrong')
})

t.test('guesses at the same time gain nothing', async t => {
  const attempt = createAttempts(() => 0)
  let [checked, refusals] = [0, 0]
  const work = async () => {
    checked++
    await new Promise(resolve => setImmediate(resolve))
    return undefined
  }
  const guesses = Array.from({ length: 1000 }, (_, index) => attempt({ user: `user ${index}`, address: 'a' }, work))
  for (const { status } of await Promise.allSettled(guesses)) if (status === 'rejected') refusals++
  t.equal(checked, FREE_FAILURES)
  t.equal(refusals, 1000 - FREE_FAILURES)
})

t.test('whatever the order: not more checks than the rule lets through', async t => {
  const step = fc.record({ user: fc.constantFrom('a', 'b'), right: fc.boolean(), wait: fc.nat(90_000) })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 80 }), async steps => {
      const { clock, guess } = createGuesser()
      let wrong = 0
      for (const { user, right, wait } of steps) {
        clock.now += wait
        const outcome = await guess(right, user)
        if (outcome === 'wrong') wrong++
        if (typeof outcome === 'number' && (outcome < 1 || outcome * 1000 > LONGEST_DELAY_MS)) return false
        if (typeof outcome === 'number' && wrong < FREE_FAILURES) return false
      }
      return true
    }),
    { numRuns: 100 }
  )
  t.pass()
})

t.test('only so many checks wait for their turn', async t => {
  let go = () => {}
  const gate = new Promise<void>(resolve => (go = resolve))
  const passwords = createPasswords(
    () => parseHtpasswd(''),
    async () => {
      await gate
      return false
    }
  )
  const all = Array.from({ length: 200 }, (_, index) => passwords.verify({ user: `user ${index}`, password: 'x' }))
  const outcomes = Promise.allSettled(all)
  go()
  const refusals = (await outcomes).flatMap(outcome => (outcome.status === 'rejected' ? [outcome.reason] : []))
  t.equal(refusals.length, 200 - 2 - 64, 'two are checked, 64 wait')
  t.match(refusals[0], { kind: 'too-many-requests', details: [{ retryAfter: 1 }] })
  t.equal(await passwords.verify({ user: 'later', password: 'x' }), false, 'and then there is room again')
})

async function open(t: Test) {
  const htpasswdFile = join(t.testdir(), 'users')
  writeFileSync(htpasswdFile, await htpasswdOf('alice', 'bob'))
  const access = { htpasswdFile, robots: true, anonymous: 'none' as const }
  const { send, storage } = await openRegistry(t, createMemory(), { access, trustProxy: true })
  const from = (address: string, user: string, password: string) =>
    withHeaders(send, { ...basic(user, password), 'x-forwarded-for': address }).get('/v2/')
  return { from, storage }
}

t.test('guesses are answered 429, and who is remembered is let in', async t => {
  const { from, storage } = await open(t)
  const token = makeToken()
  await createRobots(storage).create(hashOf(token), { name: 'ci', repositories: ['**'], actions: ['pull'], created: 0 })
  const [alice, bob] = [passwordOf('alice'), passwordOf('bob')]
  told(t, await from('2001:db8::1', 'alice', alice), 200, {}, 'alice')
  told(t, await from('2001:db8::1', 'ci', token), 200, {}, 'a robot')
  for (let index = 0; index < FREE_FAILURES; index++) {
    refused(t, await from(`2001:db8::${index}`, 'alice', `guess number ${index}`), 401, 'UNAUTHORIZED', 'a guess')
  }
  for (const [address, user, password] of [
    ['2001:db8::ffff:1', 'alice', 'the next guess'],
    ['2001:db8::ffff:2', 'bob', bob],
    ['198.51.100.7', 'alice', 'a guess from elsewhere']
  ] as const) {
    const answer = await from(address, user, password)
    const [entry] = refused(t, answer, 429, 'TOOMANYREQUESTS', `${user} from ${address}`)
    t.match(entry, { message: 'too many failed logins', detail: { retryAfter: 1 } })
    told(t, answer, 429, { 'retry-after': '1', 'www-authenticate': undefined }, 'when to come again')
  }
  for (let round = 0; round < 20; round++) {
    told(t, await from('2001:db8::1', 'alice', alice), 200, {}, 'alice, from where it is guessed')
    told(t, await from('2001:db8::1', 'ci', token), 200, {}, 'the robot')
  }
  told(t, await from('203.0.113.9', 'bob', bob), 200, {}, 'somebody else, from elsewhere')
})

t.test('a program that goes on with an old password or a revoked token is no guesser', async t => {
  const { from } = await open(t)
  const revoked = makeToken()
  for (let index = 0; index < 3 * FREE_FAILURES; index++) {
    refused(t, await from('192.0.2.1', 'alice', 'the old password'), 401, 'UNAUTHORIZED', 'the same again')
    refused(t, await from('192.0.2.1', 'ci', revoked), 401, 'UNAUTHORIZED', 'the same token again')
  }
  told(t, await from('192.0.2.1', 'bob', passwordOf('bob')), 200, {}, 'others at that address')
})
