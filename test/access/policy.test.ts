import fc from 'fast-check'
import t from 'tap'
import type { RepositoryAction } from '../../src/access/caller.ts'
import { createPolicy, type Rule, simpleRules } from '../../src/access/policy.ts'
import { parsePolicy } from '../../src/access/policy-file.ts'

const POLICY = `
groups:
  developers: [alice, bob]
  owners: [alice]
rules:
  - users: [ci]
    repositories: [team/**, "*/base"]
    actions: [pull, push]
  - groups: [developers]
    repositories: ['team/*']
    actions: [pull]
  - groups: [owners]
    repositories: ['**']
    actions: ['*']
  - users: ['*']
    repositories: [shared]
    actions: [pull]
  - anonymous: true
    repositories: [public/**]
    actions: [pull]
`

t.test('rules add up, and what none of them allows is denied', async t => {
  const policy = parsePolicy(POLICY)
  const cases: [user: string, action: RepositoryAction, repository: string, rule: number | undefined][] = [
    ['ci', 'push', 'team/app', 1],
    ['ci', 'push', 'team/app/deep', 1],
    ['ci', 'push', 'team', undefined],
    ['ci', 'push', 'teams/app', undefined],
    ['ci', 'push', 'my/team/app', undefined],
    ['ci', 'push', 'any/base', 1],
    ['ci', 'push', 'an/y/base', undefined],
    ['ci', 'delete', 'team/app', undefined],
    ['bob', 'pull', 'team/app', 2],
    ['bob', 'pull', 'team/app/deep', undefined],
    ['bob', 'push', 'team/app', undefined],
    ['alice', 'pull', 'team/app', 2],
    ['alice', 'delete', 'team/app', 3],
    ['carol', 'pull', 'shared', 4],
    ['carol', 'pull', 'public/x', 5],
    ['carol', 'pull', 'team/app', undefined],
    ['CI', 'push', 'team/app', undefined],
    ['developers', 'pull', 'team/app', undefined],
    ['*', 'pull', 'team/app', undefined],
    ['', 'pull', 'shared', undefined],
    ['', 'pull', 'public/x/y', 5],
    ['', 'push', 'public/x', undefined],
    ['ci', 'push', 'team/../other', undefined],
    ['ci', 'push', `team/${'a'.repeat(251)}`, undefined],
    ['ci', 'push', 'TEAM/app', undefined],
    ['ci', 'push', 'team/app\n', undefined]
  ]
  for (const [user, action, repository, rule] of cases) {
    const caller = user === '' ? {} : { user }
    t.equal(policy.decide(caller, action, repository)?.number, rule, `${user} ${action} ${repository}`)
    t.equal(policy.allows(caller, action, repository), rule !== undefined)
  }
  const sums = (['alice', 'ci', 'carol'] as const).map(user => [
    policy.allowsEverywhere({ user }, 'pull'),
    policy.allowsSomewhere({ user }, 'push')
  ])
  t.strictSame(sums, [
    [true, true],
    [false, true],
    [false, false]
  ])
})

t.test('without a policy: everything for who has logged in, nothing or reading for others', async t => {
  for (const anonymous of ['none', 'pull'] as const) {
    const policy = createPolicy(simpleRules(anonymous))
    for (const action of ['pull', 'push', 'delete'] as const) {
      t.equal(policy.allows({ user: 'anyone' }, action, 'a/b'), true)
      t.equal(policy.allows({}, action, 'a/b'), anonymous === 'pull' && action === 'pull')
    }
    t.equal(policy.allowsEverywhere({}, 'pull'), anonymous === 'pull')
  }
})

t.test("a file that can't be used is one line: where, what, and what is allowed", async t => {
  const rule = 'users: [a], repositories: [a], actions: [pull]'
  const cases: [text: string, problem: RegExp][] = [
    ['', /^line 1: the policy can't be used; allowed: `groups` and `rules`/],
    ['- a', /^line 1: the policy can't/],
    ['rules: yes', /^line 1: rules can't be used; allowed: a list of rules/],
    ['rules:\n- {users: [a]', /^line 2: no YAML: /],
    ['rules: []\nrules: []', /^line 2: no YAML: /],
    [`rules:\n- {${rule}}\n- {${rule}, deny: true}`, /^line 3: rules\[1\]\.deny can't/],
    [
      'rules:\n- {users: a, repositories: [a], actions: [pull]}',
      /^line 2: rules\[0\]\.users can't be used; allowed: a list of users/
    ],
    ['rules:\n- {users: [a], repositories: [], actions: [pull]}', /^line 2: rules\[0\]\.repositories can't/],
    ['rules:\n- {users: [a], repositories: [Team], actions: [pull]}', /^line 2: rules\[0\]\.repositories\[0\] can't/],
    ['rules:\n- {users: [a], repositories: [/a], actions: [pull]}', /^line 2: rules\[0\]\.repositories\[0\] can't/],
    ['rules:\n- {users: [a], repositories: ["a\\n"], actions: [pull]}', /^line 2: rules\[0\]\.repositories\[0\] can't/],
    ['rules:\n- users: [a]\n  repositories: [a]\n  actions: [pull, write]', /^line 4: rules\[0\]\.actions\[1\] can't/],
    [
      'rules:\n- {users: [a], repositories: [a], actions: pull}',
      /^line 2: rules\[0\]\.actions can't be used; allowed: .*`push`/
    ],
    [
      'rules:\n- {anonymous: false, repositories: [a], actions: [pull]}',
      /^line 2: rules\[0\]\.anonymous can't be used; allowed: `true`/
    ],
    ['rules:\n- {repositories: [a], actions: [pull]}', /^line 2: rules\[0\] is for nobody;/],
    ['rules:\n- {groups: [b], repositories: [a], actions: [pull]}', /^line 2: rules\[0\]\.groups names "b";/],
    [
      'rules:\n- {groups: [toString], repositories: [a], actions: [pull]}',
      /^line 2: rules\[0\]\.groups names "toString"/
    ],
    ['groups: {b: c}\nrules: []', /^line 1: groups\.b can't/],
    ['rules:\n- !!js/function x', /^line 2: /]
  ]
  for (const [text, problem] of cases) t.throws(() => parsePolicy(text), { message: problem }, text)
})

t.test('a pattern takes what its parts say, whatever is in it', async t => {
  const part = fc.stringMatching(/^[a-z0-9]{1,8}(?:[._-][a-z0-9]{1,8}){0,2}$/)
  const rule = (pattern: string): Rule => ({ users: ['*'], repositories: [pattern], actions: ['pull'] })
  const takes = (pattern: string, name: string) =>
    createPolicy({ rules: [rule(pattern)] }).allows({ user: 'u' }, 'pull', name)
  fc.assert(
    fc.property(fc.array(part, { minLength: 1, maxLength: 4 }), part, (parts, other) => {
      const name = parts.join('/')
      const stars = parts.map(() => '*').join('/')
      t.ok(takes(name, name) && takes('**', name) && takes(stars, name) && takes(`**${parts.at(-1)}`, name))
      t.notOk(takes(name, `${name}/${other}`) || takes(name, `${other}/${name}`) || takes(`${stars}/*`, name))
      t.equal(takes(`${name}/**`, `${name}/${other}/${other}`), true)
      t.equal(takes(name.replace(/[._-]/, 'x'), name), !/[._-]/.test(name), 'a dot is a dot')
    }),
    { numRuns: 50 }
  )
})
