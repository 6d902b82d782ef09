import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { allWhole, imagePushes, pushAll, type Stored } from '../reliability/pushes.ts'
import { type ServerProcess, startServer } from '../reliability/server-process.ts'

/** A registry to be fuzzed, and how. */
export interface Target {
  server: ServerProcess
  /** Folder that holds the registry's, and nothing else. */
  parent: string
  storage: string
  log: string
  seed: number
  seconds: number
}

/** What the server may hold at most, in MiB, whatever it is sent. */
const MEMORY_MIB = 300

/** Makes the files that a server of this kind needs, in a folder of their own, and returns its variables. */
export type Prepare = (folder: string) => Promise<Record<string, string>>

/** Starts a server on a folder of its own below `folder`. */
export async function startTarget(
  folder: string,
  name: string,
  { seed, seconds }: Pick<Target, 'seed' | 'seconds'>,
  prepare: Prepare = async () => ({})
): Promise<Target> {
  const parent = join(folder, name)
  const settings = join(folder, `${name}-settings`)
  await mkdir(settings)
  const [storage, log] = [join(parent, 'registry'), join(folder, `${name}.log`)]
  const server = await startServer({ storage, log, env: await prepare(settings) })
  return { server, parent, storage, log, seed, seconds }
}

/** Runs a property for as long as the target is to be fuzzed. Throws with the seed, the path and the least input that fails. */
export async function fuzz<T>(
  { seed, seconds }: Target,
  arbitrary: fc.Arbitrary<T>,
  holds: (value: T) => Promise<void>
): Promise<number> {
  let runs = 0
  let last: Promise<void> = Promise.resolve()
  const property = fc.asyncProperty(arbitrary, value => {
    runs += 1
    last = holds(value)
    return last
  })
  await fc.assert(property, {
    seed,
    numRuns: Number.MAX_SAFE_INTEGER,
    interruptAfterTimeLimit: seconds * 1000,
    markInterruptAsFailure: false,
    includeErrorInReport: true
  })
  // The time limit does not wait for the run that it meets, which may have more to put back in its place.
  await last
  return runs
}

/** Throws unless the server still serves, holds little memory, and has met nothing that it did not expect. */
export async function checkUnharmed({ server, log }: Target, explained = /^$/): Promise<string> {
  const pushes = imagePushes(1).slice(0, 20)
  const stored: Stored[] = []
  await pushAll(
    pushes,
    () => server.url,
    part => stored.push(part)
  )
  await allWhole(server.url, stored)
  const mebibytes = Math.round((await server.peakMemory()) / 1024 / 1024)
  if (mebibytes > MEMORY_MIB) throw new Error(`the server held ${mebibytes} MiB`)
  const faults = (await readFile(log, 'utf8'))
    .split('\n')
    .filter(line => line !== '' && isFault(line) && !explained.test(line))
  if (faults.length > 0) throw new Error(`${faults.length} faults in the log, as ${faults[0]!.slice(0, 600)}`)
  return `${stored.length} parts pushed and pulled, peak ${mebibytes} MiB`
}

/** An error, or what is no line of the log: a warning of Node.js, a crash. */
function isFault(line: string): boolean {
  try {
    return (JSON.parse(line) as { level: number }).level >= 50
  } catch {
    return true
  }
}
