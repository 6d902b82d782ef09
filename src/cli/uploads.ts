import { Value } from '@sinclair/typebox/value'
import type { Command } from 'commander'
import { duration } from '../config/values.ts'
import type { OpenUpload } from '../registry/uploads.ts'
import { bytesText, durationText } from '../units.ts'
import { CommandError, type Store, UsageError, withStore } from './store.ts'

const Idle = duration({ default: '', description: '' }, '0s', '365d')

interface AbortOptions {
  force?: boolean
  idle?: string
  json?: boolean
}

/** `uploads`: uploads that have begun and not ended, and the room that they take. */
export function addUploads(program: Command, env = process.env): void {
  const uploads = program.command('uploads').description('uploads that have begun and not ended')
  uploads
    .command('list')
    .description('list them with the room that they take, the longest idle first')
    .option('--json', 'as JSON')
    .action(({ json = false }: { json?: boolean }) => list(env, json))
  uploads
    .command('abort')
    .description('end uploads and free their room; whoever still sends to one has to begin anew')
    .argument('[id...]', 'as `uploads list` shows them')
    .option('--idle <duration>', 'all to which nothing was added for so long, as 1h')
    .option('--force', 'also where READ_ONLY forbids it')
    .option('--json', 'the result as JSON')
    .action((ids: string[], options: AbortOptions) => abort(env, ids, options))
}

async function list(env: NodeJS.ProcessEnv, json: boolean): Promise<void> {
  await withStore(
    env,
    async ({ registry }) => {
      const open = await registry.uploads.open()
      if (json) console.log(JSON.stringify(open))
      else for (const upload of open) console.log(uploadText(upload))
    },
    { dryRun: true }
  )
}

async function abort(
  env: NodeJS.ProcessEnv,
  ids: readonly string[],
  { idle, json = false, force }: AbortOptions
): Promise<void> {
  if (ids.length === 0 && idle === undefined) {
    throw new UsageError('nothing was named; allowed: ids as `uploads list` shows them, or --idle with a duration')
  }
  const idleMs = idle === undefined ? undefined : idleOf(idle)
  const end = async ({ registry }: Store): Promise<void> => {
    const open = await registry.uploads.open()
    const unknown = ids.find(id => open.every(upload => upload.id !== id))
    if (unknown !== undefined) throw new CommandError(`there is no upload ${JSON.stringify(unknown)}`)
    const going = open.filter(({ id, idleMs: ms }) => ids.includes(id) || (idleMs !== undefined && ms >= idleMs))
    for (const { id } of going) await registry.uploads.discard(id)
    const bytes = going.reduce((sum, { size }) => sum + size, 0)
    if (json) console.log(JSON.stringify({ aborted: going.map(({ id }) => id), bytes }))
    else console.log(`${going.length} ${going.length === 1 ? 'upload' : 'uploads'} aborted, ${bytesText(bytes)} freed`)
  }
  await withStore(env, end, { force })
}

function idleOf(text: string): number {
  try {
    return Value.Decode(Idle, text)
  } catch {
    throw new UsageError(`--idle is ${JSON.stringify(text)}; allowed: ${Idle.allowed}`)
  }
}

const uploadText = ({ id, size, idleMs }: OpenUpload): string =>
  `${id}  ${bytesText(size).padStart(10)}, idle for ${durationText(idleMs)}`
