import { verify } from '@node-rs/bcrypt'
import fc from 'fast-check'
import t from 'tap'
import { costOf, parseHtpasswd } from '../../src/access/htpasswd.ts'
import { createPasswords, hashPassword } from '../../src/access/passwords.ts'

const DIGEST = 'N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy'
const hash = (prefix: string, cost = '10') => `$${prefix}$${cost}$${DIGEST}`

t.test('a password file is read', async t => {
  const text = `# staff\n\nalice:${hash('2y', '05')}\r\nbob:${hash('2a', '12')}\n  \nzoë @ home:${hash('2b')}`
  const { hashes, highestCost } = parseHtpasswd(text)
  t.strictSame([...hashes.keys()], ['alice', 'bob', 'zoë @ home'])
  t.equal(hashes.get('alice'), hash('2y', '05'))
  t.equal(highestCost, 12)
  t.equal(parseHtpasswd('').hashes.size, 0)
})

t.test("a line that can't be used is named by its number, and no hash is shown", async t => {
  const good = `alice:${hash('2y')}`
  const cases: [line: string, problem: RegExp][] = [
    ['bob', /^line 2: not USER:HASH$/],
    [`:${hash('2y')}`, /^line 2: not USER:HASH$/],
    [good, /^line 2: the user "alice" is there twice$/],
    ['bob:$apr1$qwerty12$0123456789abcdefghijkl', /^line 2: the hash is not bcrypt/],
    ['bob:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=', /^line 2: the hash is not bcrypt/],
    ['bob:rqXexS6ZhobKA', /^line 2: the hash is not bcrypt/],
    ['bob:secret', /^line 2: the hash is not bcrypt/],
    [`bob:${hash('2x')}`, /^line 2: the hash is not bcrypt/],
    [`bob:${hash('2y').slice(0, -1)}`, /^line 2: the hash is not bcrypt/],
    [`bob:${hash('2y', '03')}`, /^line 2: a cost of 3;/],
    [`bob:${hash('2y', '31')}`, /^line 2: a cost of 31;/]
  ]
  for (const [line, problem] of cases) {
    t.throws(() => parseHtpasswd(`${good}\n${line}\n`), { message: problem }, line)
    t.throws(() => parseHtpasswd(`${good}\n${line}\n`), { message: /^(?!.*(qwerty12|qUqP5|rqXex|secret|N9qo))/ }, line)
  }
})

t.test('any text is read, or refused with a line', async t => {
  const line = fc.oneof(
    fc.string(),
    fc.constantFrom('a', 'b').map(user => `${user}:${hash('2y')}`)
  )
  fc.assert(
    fc.property(fc.array(line), lines => {
      try {
        return parseHtpasswd(lines.join('\n')).hashes.size <= lines.length
      } catch (error) {
        return /^line \d+: ./.test((error as Error).message)
      }
    })
  )
  t.pass()
})

t.test('passwords are checked, and what was found right is remembered while the hash is the same', async t => {
  let file = parseHtpasswd(`alice:${await hashPassword('one', 4)}\nbob:${await hashPassword('pä:ss wörd', 4)}`)
  const passwords = createPasswords(() => file)
  const is = (user: string, password: string) => passwords.verify({ user, password })
  t.strictSame(await Promise.all([is('alice', 'one'), is('alice', 'one'), is('alice', 'one')]), [true, true, true])
  t.equal(await is('bob', 'pä:ss wörd'), true)
  t.equal(await is('bob', 'pass word'), false)
  for (const [user, password] of [
    ['alice', ''],
    ['alice', 'One'],
    ['Alice', 'one'],
    ['bob', 'one'],
    ['carol', 'one'],
    ['', ''],
    ['__proto__', 'one']
  ] as const) {
    t.equal(await is(user, password), false, `${user}:${password}`)
  }
  file = parseHtpasswd(`alice:${await hashPassword('two', 4)}`)
  t.strictSame(
    [await is('alice', 'one'), await is('alice', 'two'), await is('bob', 'pä:ss wörd')],
    [false, true, false]
  )
  file = parseHtpasswd('')
  t.equal(await is('alice', 'two'), false)
})

t.test('PHP, OpenBSD and apache write the same hash with other letters', async t => {
  const made = await hashPassword('one', 4)
  for (const prefix of ['$2a$', '$2b$', '$2y$']) {
    const passwords = createPasswords(() => parseHtpasswd(`alice:${prefix}${made.slice(prefix.length)}`))
    t.equal(await passwords.verify({ user: 'alice', password: 'one' }), true, prefix)
  }
})

t.test(
  'no takes as long for a user that there is as for one that there is not, whatever their hashes cost',
  async t => {
    const [cheap, dear] = await Promise.all([hashPassword('x', 6), hashPassword('x', 11)])
    const file = parseHtpasswd(`cheap:${cheap}\ndear:${dear}`)
    const checked: string[] = []
    const passwords = createPasswords(
      () => file,
      async (password, hash) => {
        checked.push(hash)
        return verify(password, hash)
      }
    )
    for (const user of ['cheap', 'dear', 'nobody']) {
      t.equal(await passwords.verify({ user, password: 'wrong' }), false)
      const work = checked.splice(0).map(hash => 2 ** (costOf(hash) ?? 0))
      t.equal(
        work.reduce((sum, each) => sum + each, 0),
        2 ** 11,
        user
      )
    }

    const timeOf = async (hash: string) => {
      const begun = performance.now()
      t.equal(await verify('wrong', hash), false)
      return performance.now() - begun
    }
    await passwords.verify({ user: 'nobody', password: 'wrong again' })
    const decoy = checked[0]!
    t.notOk(decoy === dear, "what an unknown user is checked against is nobody's hash")
    t.ok((await timeOf(decoy)) > 4 * (await timeOf(cheap)), 'and it takes its time')
  }
)

t.test('checks leave the main thread free', async t => {
  const made = await hashPassword('x', 11)
  const passwords = createPasswords(() => parseHtpasswd(`alice:${made}`))
  let turns = 0
  const ticking = setInterval(() => turns++, 1)
  await Promise.all(['a', 'b', 'c', 'd'].map(password => passwords.verify({ user: 'alice', password })))
  clearInterval(ticking)
  t.ok(turns > 20, `${turns} turns of the loop while four passwords were checked`)
})
