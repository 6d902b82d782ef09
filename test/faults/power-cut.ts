/**
 * `power-cut.ts N`: N times many clients write at once, and the power is cut at every other moment of it; then with each
 * fsync left out in turn, which must not go unnoticed. `power-cut.ts N SEED` begins with another seed than 1.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { withScratch } from '../reliability/scratch.ts'
import { type Chance, createChance } from './chance.ts'
import { leaveOut, type Sync, syncs } from './left-out.ts'
import { prepareRecording } from './recording.ts'

prepareRecording()
// What is to be recorded has to be imported after that.
const { recordScenario } = await import('./recorded-scenario.ts')
const { cutEverywhere } = await import('./cuts.ts')
type Log = Awaited<ReturnType<typeof recordScenario>>

const scenarios = Number(process.argv[2] ?? 1)
const firstSeed = Number(process.argv[3] ?? 1)
const COLLECT_EVERY = 25
/** What is tried after each answer, and of the moments without one, one in so many. */
const cuts =
  scenarios > 1
    ? ({ afterAnswer: ['nothing', 'some', 'some', 'everything'], every: 6 } as const)
    : ({ afterAnswer: ['nothing', 'some'], every: 12 } as const)
/** What no client happened to write in one scenario is written in another. */
const MORE_SCENARIOS = 9

await withScratch(10 + 10 * scenarios, async (checks, scratch) => {
  const folder = join(scratch.folder, 'left')
  const logs: Log[] = []
  for (let seed = firstSeed; seed < firstSeed + scenarios; seed++) {
    const chance = createChance(seed)
    let log: Log = []
    await checks.check(`${seed}. all that is done to the folder is recorded`, async () => {
      log = await record(scratch.folder, seed, chance)
      logs.push(log)
      return `${log.filter(({ kind }) => kind === 'ended').length} operations, ${log.length} moments`
    })
    await checks.check(
      `${seed}. after a power cut all that was answered is there, and nothing is half there`,
      async () => {
        const folders = await cutEverywhere({ log, folder, chance, ...cuts, collectEvery: COLLECT_EVERY })
        return `${folders} different folders`
      }
    )
  }
  for (const sync of syncs) {
    await checks.check(`it would show if ${sync.name} were not made durable`, async () => {
      for (let tried = 0; tried < scenarios + MORE_SCENARIOS; tried++) {
        const seed = firstSeed + tried
        if (tried === logs.length) logs.push(await record(scratch.folder, seed, createChance(seed)))
        const fault = await noticed(logs[tried]!, sync, folder)
        if (fault !== undefined) return fault
      }
      throw new Error('nothing was missed')
    })
  }
})

async function record(parent: string, seed: number, chance: Chance): Promise<Log> {
  const folder = join(parent, `recorded-${seed}`)
  mkdirSync(folder)
  return recordScenario(folder, chance)
}

/** What is missed first when the power is cut everywhere; undefined: nothing. */
async function noticed(log: Log, sync: Sync, folder: string): Promise<string | undefined> {
  const without = leaveOut(log, sync)
  if (without.length === log.length) return undefined
  const rarely = { every: Number.POSITIVE_INFINITY, collectEvery: 1e9 }
  const cutting = { log: without, folder, chance: createChance(1), afterAnswer: ['nothing'] as const, ...rarely }
  return cutEverywhere(cutting).then(
    () => undefined,
    (error: Error) => error.message.split('\n')[0]?.slice(0, 120)
  )
}
