/** `folder.ts`: all that can be wrong with the folder, one after the other, while clients write; the server goes on. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Scratch, withScratch } from '../reliability/scratch.ts'
import { type ServerProcess, startServer } from '../reliability/server-process.ts'
import { createClient } from '../support/client.ts'
import { random } from '../support/images.ts'
import { createChance } from './chance.ts'
import { type Disk, type FolderFault, folderFaults, makeDisk, removeDisk } from './folder-faults.ts'
import { account, createLedger, type Owed } from './ledger.ts'
import { checkOwed } from './owed.ts'
import { createScenario, type Failure, prepareShared, type Scenario } from './scenario.ts'
import { isBroken, overWire, Refused } from './wire.ts'

const wanted = process.argv[2]
const PUSHERS = 6
/** How many times clients come back while the fault lasts. */
const ROUNDS = 6
const OPERATIONS = 20
const PATIENCE_MS = 5000
const LOG_PATIENCE_MS = 15_000

await withScratch(5, async (checks, scratch) => {
  const disk = await makeDisk(scratch.folder)
  try {
    const server = await start(disk, scratch)
    const owed: Owed = new Map()
    let statuses: readonly number[] = []
    const client = createClient(
      overWire(
        () => server.url,
        () => statuses
      )
    )
    const ledger = createLedger(entry => account(owed, entry))
    const scenario = createScenario({ client, ledger, chance: createChance(1), pushers: PUSHERS })
    await prepareShared(client)

    for (const fault of folderFaults.filter(({ name }) => name.includes(wanted ?? ''))) {
      await checks.check(fault.name, async () => {
        const logged = (await readFile(scratch.log)).length
        const leftovers = await leftoversOn(disk)
        statuses = fault.statuses
        const failures = await during(fault, disk, server, scenario)
        statuses = []
        await checkOwed(client, owed)
        await scenario.again(failures)
        await checkOwed(client, owed)
        const more = fault.leaves ? [] : await stillOn(disk, leftovers)
        if (more.length > 0) throw new Error(`the temporary folder holds ${more.join(', ')}`)
        if (fault.log) await isLogged(fault.log, scratch.log, logged)
        return `${failures.length} operations refused, ${owed.size} things looked at`
      })
    }
    await checks.check('a disk that is filled and emptied: what is stored can be deleted', async () => {
      const full = folderFaults.find(({ name }) => name === 'a full disk')!
      for (let round = 0; round < 3; round++) {
        const { digest } = await client.pushImage('filled/app', 'v1')
        await full.begin(disk, server.pid)
        statuses = full.statuses
        const refused = await client.pushBlob('filled/app', random(100_000)).then(
          () => undefined,
          error => error
        )
        statuses = []
        const deleted = await client.del(`/v2/filled/app/manifests/${digest}`).finally(() => full.end(disk, server.pid))
        if (!(rootOf(refused) instanceof Refused)) throw new Error(`a push to the full disk: ${rootOf(refused)}`)
        if (deleted.status !== 202) throw new Error(`a deletion on the full disk: ${deleted.status}`)
        const gone = await client.getManifest('filled/app', digest)
        if (gone.status !== 404) throw new Error(`what was deleted is answered ${gone.status}`)
      }
      return undefined
    })
    await server.stop()
  } finally {
    await removeDisk(disk)
  }
})

/** A fault of the same kind as the one before is counted, and logged with its count after ten seconds at most. */
async function isLogged(pattern: RegExp, file: string, from: number): Promise<void> {
  for (let left = LOG_PATIENCE_MS; ; left -= 100) {
    const log = (await readFile(file, 'utf8')).slice(from)
    if (pattern.test(log)) return
    if (left <= 0) throw new Error(`the log does not tell: ${pattern}\n${log.slice(-2000)}`)
    await sleep(100)
  }
}

function start({ storage, control }: Disk, { log }: Scratch): Promise<ServerProcess> {
  const preloaded = join(import.meta.dirname, 'faulty-disk.ts')
  const env = { NODE_OPTIONS: `--import tsx --import ${preloaded}`, FAULTY_DISK: control, GC_INTERVAL: '0' }
  return startServer({ storage, log, env })
}

/**
 * Clients write, and come back again and again while the fault is there; then it goes. Returns what was refused to the
 * last; throws when something failed in another way, or when nothing was refused.
 */
async function during(fault: FolderFault, disk: Disk, server: ServerProcess, scenario: Scenario): Promise<Failure[]> {
  const writing = scenario.round(OPERATIONS)
  await sleep(50)
  await fault.begin(disk, server.pid)
  const refused: Failure[] = []
  try {
    let failures = await writing
    // On a busy machine the fault may come when they have done with it.
    if (failures.length === 0) failures = await scenario.round(OPERATIONS)
    refused.push(...failures)
    for (let round = 0; round < ROUNDS; round++) {
      failures = await refusedAgain(scenario, failures)
      refused.push(...failures)
    }
    const expected = (error: unknown) => error instanceof Refused || (fault.breaks === true && isBroken(error))
    const odd = refused.find(({ error }) => !expected(rootOf(error)))
    if (odd) throw new Error(`the ${odd.operation.name}: ${rootOf(odd.error)}`)
    if (refused.length === 0 && fault.statuses.length > 0) throw new Error('nothing was refused')
    return failures
  } finally {
    await fault.end(disk, server.pid)
  }
}

async function refusedAgain(scenario: Scenario, failures: readonly Failure[]): Promise<Failure[]> {
  const still: Failure[] = []
  for (const { operation } of failures) {
    await scenario.again([{ operation, error: undefined }]).catch(error => still.push({ operation, error }))
  }
  return still
}

function rootOf(error: unknown): unknown {
  return error instanceof Error && error.cause ? rootOf(error.cause) : error
}

/** What is there beside those from before, once requests whose connection broke have had the time to end. */
async function stillOn(disk: Disk, before: readonly string[]): Promise<string[]> {
  for (let left = PATIENCE_MS; ; left -= 100) {
    const more = (await leftoversOn(disk)).filter(name => !before.includes(name))
    if (more.length === 0 || left <= 0) return more
    await sleep(100)
  }
}

/** What was half-written when it failed, and is still lying about. */
function leftoversOn({ storage }: Disk): Promise<string[]> {
  return readdir(join(storage, 'tmp'))
}
