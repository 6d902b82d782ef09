import { Value } from '@sinclair/typebox/value'
import type { Command } from 'commander'
import { hashOf, makeToken } from '../access/robot-token.ts'
import { REVOKED_WITHIN_MS } from '../access/robots.ts'
import { duration } from '../config/values.ts'
import { REPOSITORY_PATTERN } from '../registry/patterns.ts'
import { createRobots, isRobotName, type ListedRobot, type Robot } from '../registry/robots.ts'
import { CommandError, type Store, UsageError, withStore } from './store.ts'

interface CreateOptions {
  name: string
  repository: string[]
  actions: string
  expires: string
  json?: boolean
  force?: boolean
}

const ACTIONS = ['pull', 'push', 'delete'] as const
const Expiry = duration({ default: '', description: '' }, '1m', '3650d')

/** `token`: robots, which log in with a token. */
export function addToken(program: Command, env = process.env): void {
  const token = program.command('token').description('tokens by which robots log in (with AUTH_ROBOT_TOKENS=true)')
  token
    .command('create')
    .description('make a token and print it, this once')
    .requiredOption('--name <name>', "the robot's name, for the list and the audit log")
    .requiredOption('--repository <pattern...>', 'where it may do that: * is any text without a slash, ** any text')
    .option('--actions <actions>', 'what it may do: pull, push and delete, joined by commas', 'pull')
    .option('--expires <duration>', 'how long it is good, as 90d; or never', '90d')
    .option('--force', 'also where READ_ONLY forbids it')
    .option('--json', 'the token and what it may do as JSON')
    .action((options: CreateOptions) => create(env, options))
  token
    .command('list')
    .description('the tokens that there are, without what they are')
    .option('--json', 'as JSON')
    .action(({ json = false }: { json?: boolean }) => list(env, json))
  token
    .command('revoke')
    .description('take a token back')
    .argument('<name>')
    .option('--json', 'the result as JSON')
    .action((name: string, { json = false }: { json?: boolean }) => revoke(env, name, json))
}

async function create(env: NodeJS.ProcessEnv, options: CreateOptions): Promise<void> {
  const robot = robotOf(options, Date.now())
  const make = async ({ storage }: Store): Promise<void> => {
    const token = makeToken()
    if (!(await createRobots(storage).create(hashOf(token), robot))) {
      throw new CommandError(`there is a token called ${robot.name}; revoke it first`)
    }
    console.log(options.json ? JSON.stringify({ token, ...withDates(robot) }) : token)
    console.error(`${robotText(robot)}. The token is kept nowhere: this is the only time that it is shown.`)
  }
  await withStore(env, make, { force: options.force })
  if (!/^(true|1|yes|on)$/i.test(env.AUTH_ROBOT_TOKENS?.trim() ?? '')) {
    console.error('Servers take it with AUTH_ROBOT_TOKENS=true.')
  }
}

function robotOf({ name, repository, actions, expires }: CreateOptions, now: number): Robot {
  if (!isRobotName(name)) {
    throw new UsageError(`${JSON.stringify(name)} can't be a name: lower case and digits, \`.\`, \`_\`, \`-\` between`)
  }
  for (const pattern of repository) {
    if (!REPOSITORY_PATTERN.test(pattern)) throw new UsageError(`${JSON.stringify(pattern)} matches no repository`)
  }
  const given = actions.split(',').map(action => action.trim())
  const wrong = given.find(action => !ACTIONS.some(known => known === action))
  if (wrong !== undefined) throw new UsageError(`${JSON.stringify(wrong)} is no action; allowed: ${ACTIONS.join(', ')}`)
  const known = ACTIONS.filter(action => given.includes(action))
  return { name, repositories: repository, actions: known, created: now, expires: expiryOf(expires, now) }
}

function expiryOf(text: string, now: number): number | undefined {
  if (text === 'never') return undefined
  try {
    return now + Value.Decode(Expiry, text)
  } catch {
    throw new UsageError(`--expires is ${JSON.stringify(text)}; allowed: ${Expiry.allowed}, or \`never\``)
  }
}

async function list(env: NodeJS.ProcessEnv, json: boolean): Promise<void> {
  await withStore(
    env,
    async ({ storage }) => {
      const robots = await createRobots(storage).list()
      if (json) console.log(JSON.stringify(robots.map(withDates)))
      else for (const robot of robots) console.log(listedText(robot))
    },
    { dryRun: true }
  )
}

async function revoke(env: NodeJS.ProcessEnv, name: string, json: boolean): Promise<void> {
  const take = async ({ storage }: Store): Promise<void> => {
    if (!(await createRobots(storage).revoke(name))) throw new CommandError(`there is no token called ${name}`)
    if (json) console.log(JSON.stringify({ name, revoked: true, withinSeconds: REVOKED_WITHIN_MS / 1000 }))
    else console.log(`${name} is revoked: no server takes it after ${REVOKED_WITHIN_MS / 1000} s from now`)
  }
  // Nothing may keep an operator from taking rights away.
  await withStore(env, take, { force: true })
}

const dateOf = (ms: number): string => new Date(ms).toISOString()

function withDates({ created, expires, ...robot }: Robot | ListedRobot): object {
  return { ...robot, created: dateOf(created), ...(expires !== undefined && { expires: dateOf(expires) }) }
}

function robotText({ name, actions, repositories, expires }: Robot): string {
  const until = expires === undefined ? 'for ever' : `until ${dateOf(expires)}`
  return `${name}: ${actions.join(', ')} in ${repositories.join(', ')}, ${until}`
}

function listedText(robot: ListedRobot): string {
  const over = robot.expires !== undefined && robot.expires <= Date.now() ? ' (over)' : ''
  return `${robotText(robot)}${over}, ${robot.lastUsed ? `last used on ${robot.lastUsed}` : 'never used'}`
}
