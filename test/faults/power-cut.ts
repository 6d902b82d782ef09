/**
 * `power-cut.ts N`: N times many clients write at once, and the power is cut at every other moment of it; then with each
 * fsync left out in turn, which must not go unnoticed. `power-cut.ts N SEED` begins with another seed than 1.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { withScratch } from '../reliability/scratch.ts'
import { createChance } from './chance.ts'
import { leaveOut, type Sync, syncs } from './left-out.ts'
import { prepareRecording } from './recording.ts'

prepareRecording()
// What is to be recorded has to be imported after that.
const { recordScenario } = await import('./recorded-scenario.ts')
const { cutEverywhere } = await import('./cuts.ts')
type Log = Awaited<ReturnType<typeof recordScenario>>

const scenarios = Number(process.argv[2] ?? 1)
const firstSeed = Number(process.argv[3] ?? 1)
/** Of the moments without an answer one in so many is tried. */
const EVERY = 6
const COLLECT_EVERY = 25

await withScratch(5 + 5 * scenarios, async (checks, scratch) => {
  const folder = join(scratch.folder, 'left')
  const logs: Log[] = []
  for (let seed = firstSeed; seed < firstSeed + scenarios; seed++) {
    const chance = createChance(seed)
    let log: Log = []
    await checks.check(`${seed}. all that is done to the folder is recorded`, async () => {
      const recorded = join(scratch.folder, `recorded-${seed}`)
      mkdirSync(recorded)
      log = await recordScenario(recorded, chance)
      logs.push(log)
      return `${log.filter(({ kind }) => kind === 'ended').length} operations, ${log.length} moments`
    })
    await checks.check(
      `${seed}. after a power cut all that was answered is there, and nothing is half there`,
      async () => {
        const cuts = await cutEverywhere({ log, folder, chance, every: EVERY, collectEvery: COLLECT_EVERY })
        return `${cuts} different folders`
      }
    )
  }
  for (const sync of syncs) {
    await checks.check(`it would show if ${sync.name} were not made durable`, async () => noticed(logs, sync, folder))
  }
})

/** Throws when the power is cut everywhere and nothing is missed. */
async function noticed(logs: readonly Log[], sync: Sync, folder: string): Promise<string> {
  for (const log of logs) {
    const without = leaveOut(log, sync)
    if (without.length === log.length) continue
    const cutting = {
      log: without,
      folder,
      chance: createChance(1),
      every: Number.POSITIVE_INFINITY,
      collectEvery: 1e9
    }
    const fault = await cutEverywhere(cutting).then(
      () => undefined,
      (error: Error) => error.message.split('\n')[0]
    )
    if (fault !== undefined) return fault.slice(0, 120)
  }
  throw new Error('nothing was missed')
}
