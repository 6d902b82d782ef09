import { createHash } from 'node:crypto'
import { createClient, overInject } from '../support/client.ts'
import type { Chance } from './chance.ts'
import { createDisk, type DiskStep, type Keeping, type Left, restore } from './disk.ts'
import { account, copyOf, createLedger, type LedgerEntry, type Owed } from './ledger.ts'
import type { Operation } from './operation.ts'
import { checkOwed } from './owed.ts'
import { ageFiles } from './recording.ts'
import { EXPIRY, type Started, startOn } from './start.ts'

/** One thing of all that happened. */
export type LogEntry =
  | { kind: 'step'; step: DiskStep }
  | { kind: 'ledger'; entry: LedgerEntry }
  | { kind: 'begun' | 'ended'; operation: Operation }

export interface CutOptions {
  log: readonly LogEntry[]
  /** A path for the folders that are left; whatever is there goes. */
  folder: string
  chance: Chance
  /** The cuts that are tried after each answer: that is when something is owed that was not before. */
  afterAnswer: readonly Keeping[]
  /** Of the moments after which nobody got an answer, one in so many is tried. */
  every: number
  /** One in so many cuts is followed by collections until nothing is left that nobody needs. */
  collectEvery: number
}

/** What a power cut found. */
interface Moment {
  owed: Owed
  /** Begun, and not ended. */
  open: ReadonlySet<Operation>
  left: Left
}

/**
 * Cuts the power at the moments of a log, and starts on what is left each time: what was answered is there, nothing shows
 * half, what was not answered ends well when it is done again. Returns how many different folders were tried; throws at
 * the first that is not right.
 */
export async function cutEverywhere(options: CutOptions): Promise<number> {
  const { log, folder, chance, collectEvery } = options
  const disk = createDisk()
  const owed: Owed = new Map()
  const open = new Set<Operation>()
  const seen = new Set<string>()
  for (const [index, one] of log.entries()) {
    if (one.kind === 'step') disk.apply(one.step)
    else if (one.kind === 'ledger') account(owed, one.entry)
    else if (one.kind === 'begun') open.add(one.operation)
    else open.delete(one.operation)

    for (const keeping of keepings(one, options)) {
      const left = disk.cut(keeping, chance)
      const name = nameOf(left, owed)
      if (seen.has(name)) continue
      seen.add(name)
      try {
        await startAgain({ owed: copyOf(owed), open, left }, folder, seen.size % collectEvery === 0)
      } catch (error) {
        throw new Error(`a power cut at ${index} of ${log.length} that keeps ${keeping}: ${story(error, log, index)}`)
      }
    }
  }
  return seen.size
}

function keepings(one: LogEntry, { chance, every, afterAnswer }: CutOptions): readonly Keeping[] {
  if (one.kind === 'ledger' && one.entry.kind === 'answered') return afterAnswer
  if (one.kind !== 'step' || !chance.happens(1 / every)) return []
  return [chance.one(['nothing', 'some', 'some', 'some', 'everything'] as const)]
}

async function startAgain({ owed, open, left }: Moment, folder: string, collecting: boolean): Promise<void> {
  restore(left, folder)
  const started = await startOn(folder)
  const client = createClient(overInject(started.app))
  try {
    await checkOwed(client, owed, { endings: false })
    const changed: Owed = new Map()
    const ledger = createLedger(entry => {
      account(owed, entry)
      for (const { resource } of entry.changes) changed.set(resource, owed.get(resource)!)
    })
    for (const operation of open) {
      await operation.run(client, ledger, true).catch(error => {
        throw new Error(`done again, the ${operation.name}: ${error.message}`)
      })
    }
    await checkOwed(client, changed, { endings: false })
    if (collecting) await collectAll(started, folder, owed)
  } finally {
    await started.close()
  }
}

/** Lets time pass until all that nobody needs must be gone, and looks. */
async function collectAll(started: Started, folder: string, owed: Owed): Promise<void> {
  for (let round = 0; round < 4; round++) {
    ageFiles(folder, EXPIRY + 1000)
    await started.collect()
  }
  const kept = new Map([...owed].filter(([resource]) => !/^(blob|session) /.test(resource)))
  await checkOwed(createClient(overInject(started.app)), kept)
  const keys = (await started.storage.list('')).map(({ key }) => key)
  const garbage = keys.filter(key => /^(ended|gc\/orphans)\//.test(key))
  const linked = new Set(keys.flatMap(key => /_blobs\/.*\.([\w-]+)\.\d+$/.exec(key)?.[1] ?? []))
  garbage.push(...keys.filter(key => key.startsWith('content/') && !linked.has(key.split('/').at(-1)!)))
  for await (const { id } of started.storage.listUploads()) garbage.push(`uploads/${id}`)
  if (garbage.length > 0) throw new Error(`collections leave ${garbage.join(', ')}`)
}

function nameOf({ entries }: Left, owed: Owed): string {
  const hash = createHash('sha1')
  for (const { path, bytes, sameAs } of entries)
    hash.update(`\0${path}\0${sameAs ?? ''}\0${bytes.length}\0`).update(bytes)
  for (const [resource, values] of owed) hash.update(`\0${resource}\0${[...values]}`)
  return hash.digest('hex')
}

/** The fault, and what led to it. */
function story(error: unknown, log: readonly LogEntry[], index: number): string {
  const last = log.slice(Math.max(0, index - 25), index + 1).map(one => {
    if (one.kind === 'step') return JSON.stringify(one.step, (key, value) => (key === 'bytes' ? undefined : value))
    if (one.kind === 'ledger')
      return `${one.entry.kind}: ${one.entry.changes.map(({ resource, to }) => `${resource} to ${to}`)}`
    return `${one.kind}: ${one.operation.name}`
  })
  return `${error instanceof Error ? error.message : error}\nafter\n${last.join('\n')}`
}
