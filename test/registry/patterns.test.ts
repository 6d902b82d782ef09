import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { claimsMatcherOf, expandTemplate } from '../../src/access/claims.ts'
import { hashOf, makeToken } from '../../src/access/robot-token.ts'
import { createCollector } from '../../src/registry/gc.ts'
import { matcherOf, matching, tagMatcherOf } from '../../src/registry/patterns.ts'
import { createRegistry } from '../../src/registry/registry.ts'
import { createRobots } from '../../src/registry/robots.ts'
import { createVerifier } from '../../src/registry/verify.ts'
import { createMemory } from '../../src/storage/memory.ts'
import { refused, told } from '../support/answers.ts'
import { basic, clientOf, htpasswdOf } from '../support/callers.ts'
import { openRegistry } from '../support/registry.ts'

/** What a pattern means, as a regular expression: good for short texts alone. */
function reference(pattern: string): RegExp {
  const parts = pattern.split(/(\*\*?)/).map(part => {
    if (part === '**') return '.*'
    return part === '*' ? '[^/]*' : part.replace(/[.]/g, '\\$&')
  })
  return new RegExp(`^${parts.join('')}$`, 's')
}

t.test('15.1: a pattern matches what it means, in steps that its length and the text’s bound', async t => {
  const pattern = fc.array(fc.constantFrom('*', '**', 'a', 'b', '/', '.', 'ab', 'a/'), { maxLength: 8 })
  const text = fc.array(fc.constantFrom('a', 'b', '/', '.', '\n'), { maxLength: 10 })
  fc.assert(
    fc.property(pattern, text, (parts, letters) => {
      const [written, name] = [parts.join(''), letters.join('')]
      const before = matching.steps
      const matches = matcherOf(written)(name)
      t.equal(matches, reference(written).test(name), `${JSON.stringify(written)} ${JSON.stringify(name)}`)
      return matching.steps - before <= (written.length + 1) * (name.length + 1)
    }),
    { numRuns: 5000 }
  )
  for (const [written, name] of [
    ['*-*-*-*-*-*-*-*x', '-'.repeat(100_000)],
    ['**/dev/**/cache/**x', '/dev/cache'.repeat(10_000)],
    ['**a**a**a**a*b', `${'a'.repeat(50_000)}/`],
    ['***', '/'.repeat(100_000)]
  ] as const) {
    const before = matching.steps
    t.equal(matcherOf(written)(name), written === '***')
    t.ok(matching.steps - before <= (written.length + 1) * (name.length + 1), written)
  }
})

/** A name that patterns of many stars have the most work with, as long as names may be. */
const WORST = `team/${'a-'.repeat(124)}a`
const PATTERN = 'team/*-*-*-*-*-*-*-*-*-*-**z**'
const BOUND = (PATTERN.length + 1) * 256

async function stepsOf<T>(work: () => T | Promise<T>): Promise<[T, steps: number]> {
  const before = matching.steps
  return [await work(), matching.steps - before]
}

async function open(t: Test, policy: string) {
  const folder = t.testdir({ policy, users: await htpasswdOf('alice') })
  const storage = createMemory()
  const secret = makeToken()
  const robot = { name: 'ci', repositories: [PATTERN, 'other/*'], actions: ['pull' as const], created: 0 }
  await createRobots(storage).create(hashOf(secret), robot)
  const access = {
    htpasswdFile: join(folder, 'users'),
    policyFile: join(folder, 'policy'),
    anonymous: 'none' as const,
    robots: true,
    tokens: { service: 'r', leewayMs: 0, lifetimeMs: 300_000 }
  }
  const settings = { access, immutableTags: [`${PATTERN}:*x*x*x*x*y*`], quotas: [{ pattern: PATTERN, bytes: 1 }] }
  return { ...(await openRegistry(t, storage, settings)), storage, secret }
}

t.test('15.1: what is no name is asked of no pattern, and each option’s worst case is bounded', async t => {
  const rule = (pattern: string) => `  - {users: ['*'], repositories: ['${pattern}'], actions: [pull]}\n`
  const policy = `rules:\n${rule(PATTERN)}${rule('**/dev/**/cache/**')}  - {users: [alice], repositories: ['**'], actions: ['*']}\n`
  const { storage, secret, send } = await open(t, policy)
  const alice = clientOf(send, 'alice')
  const robot = { headers: basic('ci', secret) }
  const scope = (name: string) => `/v2/token?scope=${encodeURIComponent(`repository:${name}:pull,push`)}`

  for (const name of [`team/${'-'.repeat(3000)}/x`, `${'/dev/cache'.repeat(900)}%0A`, `${'a'.repeat(256)}`]) {
    for (const [who, sending] of Object.entries({ nobody: {}, alice: {}, robot })) {
      const from = who === 'alice' ? alice.send : send
      const [answer, steps] = await stepsOf(() => from('GET', `/v2/${name}/tags/list`, sending))
      refused(t, answer, 400, 'NAME_INVALID', `${who}: ${name.slice(0, 20)}`)
      t.equal(steps, 0, `${who}: ${name.slice(0, 20)}`)
    }
    const [token, steps] = await stepsOf(() => alice.get(scope(decodeURIComponent(name))))
    told(t, token, 200, {}, 'a token')
    t.equal(JSON.parse(token.body.toString()).scope, '', 'that grants nothing in it')
    t.equal(steps, 0)
  }
  const many = Array.from({ length: 101 }, () => 'repository:a:pull').join(' ')
  refused(t, await alice.get(`/v2/token?scope=${encodeURIComponent(many)}`), 400, 'UNSUPPORTED', 'scopes without end')

  const tag = 'x'.repeat(128)
  await alice.pushImage(WORST, 'v1')
  const manifest = (await alice.get(`/v2/${WORST}/manifests/v1`)).body
  const put = { headers: { 'content-type': 'application/vnd.oci.image.manifest.v1+json' }, body: manifest }
  const log = { debug() {}, info() {}, warn() {}, error() {} }
  const times = { graceMs: 1000, uploadExpiryMs: 1000 }
  const registry = createRegistry({ storage, log, ...times, cacheBytes: 0, sparse: 'none' })
  const collecting = { storage, registry, ...times }
  const cases: Record<string, () => unknown> = {
    'policy, for a request': () => alice.get(`/v2/${WORST}/tags/list`),
    'policy, for a token': () => alice.get(scope(WORST)),
    'policy, for the source of a mount': () =>
      alice.send('POST', `/v2/b/blobs/uploads/?mount=sha256:${'0'.repeat(64)}&from=${WORST}`),
    'a robot': () => send('GET', `/v2/${WORST}/tags/list`, robot),
    'quotas and immutable tags': () => alice.send('PUT', `/v2/${WORST}/manifests/${tag}`, put),
    quotas: () => alice.send('POST', `/v2/${WORST}/blobs/uploads/`),
    'gc --repository': () => createCollector(collecting).collect({ repository: PATTERN }),
    'verify --repository': () =>
      createVerifier({ ...collecting, sparse: 'none' }).verify({ repository: PATTERN, onFault: () => {} }),
    'immutable tags of some repositories': () => tagMatcherOf([`${PATTERN}:*x*x*x*y*`])!(WORST, tag)
  }
  for (const [what, run] of Object.entries(cases)) {
    const [, steps] = await stepsOf(run)
    t.ok(steps > 0, `${what}: is matched`)
    t.ok(steps <= 10 * BOUND, `${what}: ${steps} steps`)
  }

  const claim = 'a-'.repeat(8000)
  const [met, steps] = await stepsOf(() => claimsMatcherOf({ ref: '*-*-*-*-*-**z**' })({ ref: [`${claim}/`, claim] }))
  t.equal(met, false)
  t.ok(steps <= 20 * 32_001)
  const groups = Array.from({ length: 2000 }, (_, index) => String(index))
  t.strictSame(expandTemplate('x:{a}{a}', { a: groups }), [], 'a template that a token would make millions of')
  t.equal(expandTemplate('x:{a}', { a: groups.slice(0, 1000) }).length, 1000)
})

t.test('15.1: no regular expression is made of what somebody else wrote', async t => {
  const made: string[] = []
  for (const folder of ['src', 'plugins', 'routes']) {
    for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
      if (!name.endsWith('.ts')) continue
      if (/\bRegExp\(/.test(readFileSync(join(folder, name), 'utf8'))) made.push(join(folder, name))
    }
  }
  // Both are made of constants.
  t.strictSame(made.sort(), ['src/access/robot-token.ts', 'src/registry/keys.ts'])
})
