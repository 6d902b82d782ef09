import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createClient, overInject } from '../support/client.ts'
import type { Chance } from './chance.ts'
import type { LogEntry } from './cuts.ts'
import { createDisk } from './disk.ts'
import { createLedger } from './ledger.ts'
import { ageFiles, recordChanges } from './recording.ts'
import { createScenario, prepareShared } from './scenario.ts'
import { GRACE, type Started, startOn } from './start.ts'

const ROUNDS = 3
const PUSHERS = 4
const OPERATIONS = 5

/**
 * Clients write to a registry on the folder, all at once, while garbage is collected; between the rounds time passes.
 * Returns all that happened. Throws when an answer is not as it should be, or when the recording missed something.
 */
export async function recordScenario(folder: string, chance: Chance): Promise<LogEntry[]> {
  const log: LogEntry[] = []
  const stop = recordChanges({ folder, chance, record: step => log.push({ kind: 'step', step }) })
  try {
    // A network folder takes other calls for the same promises.
    const started = await startOn(folder, chance.happens(0.7))
    await writeAtOnce(started, folder, chance, log)
    await started.close()
  } finally {
    stop()
  }
  checkWhole(log, folder, chance)
  return log
}

async function writeAtOnce(started: Started, folder: string, chance: Chance, log: LogEntry[]): Promise<void> {
  const client = createClient(overInject(started.app))
  await prepareShared(client)
  const scenario = createScenario({
    client,
    ledger: createLedger(entry => log.push({ kind: 'ledger', entry })),
    chance,
    pushers: PUSHERS,
    begun: operation => log.push({ kind: 'begun', operation }),
    ended: operation => log.push({ kind: 'ended', operation })
  })
  for (let round = 1; round <= ROUNDS; round++) {
    let pushing = true
    const rounds = scenario.round(OPERATIONS).finally(() => {
      pushing = false
    })
    const collections = async (): Promise<void> => {
      while (pushing) await started.collect()
    }
    const [[failure]] = await Promise.all([rounds, collections()])
    if (failure) throw new Error(`the ${failure.operation.name}`, { cause: failure.error })
    scenario.forget()
    log.push({ kind: 'step', step: { kind: 'ages', ms: 2 * GRACE } })
    ageFiles(folder, 2 * GRACE)
  }
}

/** The recorded steps must lead to what is in the folder, or steps were missed. */
function checkWhole(log: readonly LogEntry[], folder: string, chance: Chance): void {
  const disk = createDisk()
  for (const one of log) if (one.kind === 'step') disk.apply(one.step)
  const recorded = disk.cut('everything', chance).entries.map(({ path, folder, bytes }) => line(path, folder, bytes))
  const found = readdirSync(folder, { recursive: true, withFileTypes: true }).map(entry => {
    const path = join(entry.parentPath, entry.name)
    const bytes = entry.isDirectory() ? Buffer.alloc(0) : readFileSync(path)
    return line(path.slice(folder.length + 1), entry.isDirectory(), bytes)
  })
  const [expected, actual] = [recorded.sort().join('\n'), found.sort().join('\n')]
  if (expected !== actual) throw new Error(`recorded:\n${expected}\nfound:\n${actual}`)
}

const line = (path: string, folder: boolean, bytes: Buffer): string =>
  folder ? `${path}/` : `${path} ${bytes.toString('latin1')}`
