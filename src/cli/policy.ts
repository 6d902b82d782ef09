import { Argument, type Command } from 'commander'
import type { RepositoryAction } from '../access/caller.ts'
import type { Claims } from '../access/claims.ts'
import { createPolicy, type Policy, type Rule, simpleRules } from '../access/policy.ts'
import { readPolicy } from '../config/access.ts'
import { loadConfig } from '../config.ts'
import { repositoryArgument } from './names.ts'
import { UsageError } from './store.ts'

/** `policy check`: which rule decides. */
export function addPolicy(program: Command): void {
  program
    .command('policy')
    .description('look at who may do what')
    .command('check')
    .description('tell whether a user may do something, and by which rule; exit code 1 if not')
    .argument('<user>', '`-` is a client that has not logged in')
    .addArgument(new Argument('<action>').choices(['pull', 'push', 'delete']))
    .argument('<repository>')
    .option('--group <name...>', 'a group that an issuer puts the user in')
    .option('--claim <name=value...>', 'what an issuer says of the user')
    .option('--json', 'as JSON')
    .action(check)
}

interface Said {
  group?: string[]
  claim?: string[]
  json?: boolean
}

function check(user: string, action: RepositoryAction, repository: string, said: Said): void {
  const caller = user === '-' ? {} : { user, groups: said.group ?? [], claims: claimsOf(said.claim ?? []) }
  const name = repositoryArgument(repository)
  const policy = policyOf(process.env)
  const decision = policy?.decide(caller, action, name)
  const allowed = policy === undefined || decision !== undefined
  if (said.json) console.log(JSON.stringify({ allowed, accessControl: policy !== undefined, ...decision }))
  else if (decision) console.log(`allowed by rule ${decision.number}: ${ruleText(decision.rule)}`)
  else if (allowed)
    console.log('allowed: there is no access control; without an AUTH_… variable anybody may do anything')
  else
    console.log(`denied: no rule lets ${user === '-' ? 'a client without a login' : user} ${action} in ${repository}`)
  if (!allowed) process.exitCode = 1
}

function claimsOf(pairs: readonly string[]): Claims {
  const claims: Record<string, string[]> = {}
  for (const pair of pairs) {
    const [, name, value] = /^([^=]+)=(.*)$/s.exec(pair) ?? []
    if (name === undefined || value === undefined) throw new UsageError(`${JSON.stringify(pair)} is not NAME=VALUE`)
    claims[name] = [...(claims[name] ?? []), value]
  }
  return claims
}

/** Undefined: there is no access control. */
function policyOf(env: NodeJS.ProcessEnv): Policy | undefined {
  const { access } = loadConfig(env)
  if (!access) return undefined
  return access.policyFile === undefined ? createPolicy(simpleRules(access.anonymous)) : readPolicy(access.policyFile)
}

function ruleText({ users = [], groups = [], claims, anonymous, repositories, actions }: Rule): string {
  const who = [
    ...users.map(user => (user === '*' ? 'everybody who has logged in' : user)),
    ...groups.map(group => `group ${group}`),
    ...(claims ? [`claims ${JSON.stringify(claims)}`] : []),
    ...(anonymous ? ['everybody'] : [])
  ]
  return `${who.join(', ')}: ${actions.join(', ')} in ${repositories.join(', ')}`
}
