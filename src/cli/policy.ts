import { Argument, type Command } from 'commander'
import type { RepositoryAction } from '../access/caller.ts'
import type { Claims } from '../access/claims.ts'
import { createPolicy, type Policy, type Rule, simpleRules } from '../access/policy.ts'
import { readPolicy } from '../config/access.ts'
import { loadConfig } from '../config.ts'
import { RegistryError } from '../registry/errors.ts'
import { parseRepository } from '../registry/names.ts'
import { CommandError } from './store.ts'

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
    .action(check)
}

interface Said {
  group?: string[]
  claim?: string[]
}

function check(user: string, action: RepositoryAction, repository: string, said: Said): void {
  const caller = user === '-' ? {} : { user, groups: said.group ?? [], claims: claimsOf(said.claim ?? []) }
  const decision = policyOf(process.env).decide(caller, action, checked(repository))
  if (decision) {
    console.log(`allowed by rule ${decision.number}: ${ruleText(decision.rule)}`)
  } else {
    console.log(`denied: no rule lets ${user === '-' ? 'a client without a login' : user} ${action} in ${repository}`)
    process.exitCode = 1
  }
}

function claimsOf(pairs: readonly string[]): Claims {
  const claims: Record<string, string[]> = {}
  for (const pair of pairs) {
    const [, name, value] = /^([^=]+)=(.*)$/s.exec(pair) ?? []
    if (name === undefined || value === undefined) throw new CommandError(`${JSON.stringify(pair)} is not NAME=VALUE`)
    claims[name] = [...(claims[name] ?? []), value]
  }
  return claims
}

function policyOf(env: NodeJS.ProcessEnv): Policy {
  const { access } = loadConfig(env)
  if (!access)
    throw new CommandError('there is no access control: without an AUTH_… variable everybody may do everything')
  return access.policyFile === undefined ? createPolicy(simpleRules(access.anonymous)) : readPolicy(access.policyFile)
}

function checked(repository: string): string {
  try {
    return parseRepository(repository)
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error
    throw new CommandError(`${JSON.stringify(repository)} is not the name of a repository`)
  }
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
