import { once } from 'node:events'
import { createInterface } from 'node:readline/promises'
import type { Command } from 'commander'
import { loadConfig } from '../config.ts'
import { RegistryError } from '../registry/errors.ts'
import type { Report } from '../registry/gc/report.ts'
import { isFull, StorageError } from '../storage/driver.ts'
import { repositoryArgument } from './names.ts'
import { CommandError, mustBeAllowed, UsageError, type Use, withStore } from './store.ts'

/** Names that are read at once. */
const PAGE = 1000

/** `repository`: list them, delete one whole. */
export function addRepository(program: Command, env = process.env): void {
  const repository = program.command('repository').description('list repositories, or delete one')
  repository
    .command('list')
    .description('list the repositories, one a line')
    .option('--json', 'as JSON')
    .action(({ json = false }: { json?: boolean }) => list(env, json))
  repository
    .command('delete')
    .description('delete all tags, manifests and blobs of a repository; a later collection frees their space')
    .argument('<name>')
    .option('--dry-run', 'delete nothing, report what would be deleted')
    .option('--yes', 'do not ask; needed where no terminal can ask')
    .option('--force', 'also where READ_ONLY or DELETE_ENABLED=false forbids it')
    .option('--json', 'the result as JSON')
    .action((name: string, options: DeleteOptions) => remove(env, repositoryArgument(name), options))
}

async function list(env: NodeJS.ProcessEnv, json: boolean): Promise<void> {
  await withStore(
    env,
    async ({ registry }) => {
      const all: string[] = []
      for (let last: string | undefined; ; ) {
        const { items, more } = await registry.repositories.list({ n: PAGE, last })
        if (json) all.push(...items)
        else for (const name of items) console.log(name)
        last = items.at(-1)
        if (!more || last === undefined) break
      }
      if (json) console.log(JSON.stringify(all))
    },
    { dryRun: true }
  )
}

interface DeleteOptions {
  dryRun?: boolean
  yes?: boolean
  force?: boolean
  json?: boolean
}

async function remove(env: NodeJS.ProcessEnv, name: string, options: DeleteOptions): Promise<void> {
  const { dryRun = false, yes = false, force = false, json = false } = options
  // Before anybody is asked.
  if (!dryRun) mustBeAllowed(loadConfig(env), { deletes: true, force })
  if (!dryRun && !yes) {
    mustBeAsked()
    await confirm(name, await removed(env, name, { dryRun: true }))
  }
  const { manifests, links } = await removed(env, name, { dryRun, deletes: true, force })
  if (json) console.log(JSON.stringify({ repository: name, dryRun, manifests, links }))
  else console.log(`${name} ${dryRun ? 'would be' : 'is'} deleted: ${countsText({ manifests, links })}`)
}

/** Deletes the repository, or with `dryRun` counts what would be deleted. */
async function removed(env: NodeJS.ProcessEnv, name: string, use: Use): Promise<Report> {
  let report: Report | undefined
  await withStore(
    env,
    async ({ collector }) => {
      report = await collector.remove(name).catch(error => {
        if (error instanceof RegistryError) throw new CommandError(`there is no repository ${JSON.stringify(name)}`)
        if (!(error instanceof StorageError) || use.dryRun) throw error
        const room = isFull(error) ? 'free some room, and ' : ''
        throw new CommandError(`${name} is deleted in part only: ${error.message}; ${room}run the command again`)
      })
    },
    use
  )
  return report!
}

function mustBeAsked(): void {
  if (process.stdin.isTTY && process.stderr.isTTY) return
  throw new UsageError('repository delete asks before it deletes, and there is no terminal: add --yes, or --dry-run')
}

/** Throws unless a person agrees. */
async function confirm(name: string, counts: Counts): Promise<void> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  // Ctrl-D is a refusal too, and so is the end of the input, at which the question is never answered.
  const closed = once(terminal, 'close').then(() => '')
  const question = `Delete ${name} with ${countsText(counts)}? [y/N] `
  try {
    const answer = await Promise.race([terminal.question(question).catch(() => ''), closed])
    if (!/^y(es)?$/i.test(answer.trim())) throw new CommandError('nothing was deleted')
  } finally {
    terminal.close()
  }
}

type Counts = Pick<Report, 'manifests' | 'links'>

const countsText = ({ manifests, links }: Counts): string => `${manifests} manifests, ${links} links to blobs`
