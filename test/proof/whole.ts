/**
 * The whole proof, dealt out to as many processes as there are processors. Tells what fails, with the order of steps that
 * led there, and ends with `N passed, N failed`. `npm run test:proof` compiles it: what tsx makes takes a fifth longer.
 */
import { fork } from 'node:child_process'
import { availableParallelism } from 'node:os'
import fc from 'fast-check'
import { explore, playOnce } from './explore.ts'
import { crowds, pairs, threes } from './scenes.ts'

/** A part of the proof; says in `states` or steps how much it has seen, and throws what does not hold. */
interface Part {
  kind: string
  prove(): Promise<number>
}

/** Random crowds that one part plays. */
const CROWD = 100
const CROWDS = 10

const parts: Part[] = [
  ...threes().map(scene => ({ kind: 'states of three at once', prove: async () => (await explore(scene)).states })),
  ...Array.from({ length: CROWDS }, (_, seed) => ({ kind: 'steps of many at once', prove: () => proveCrowds(seed) })),
  ...pairs().map(scene => ({ kind: 'states of two at once', prove: async () => (await explore(scene)).states }))
]

async function proveCrowds(seed: number): Promise<number> {
  let steps = 0
  const property = fc.asyncProperty(crowds, async ([scene, picks]) => {
    steps += await playOnce(scene, picks)
  })
  await fc.assert(property, { numRuns: CROWD, seed })
  return steps
}

interface Told {
  part: number
  seen: number
  fault?: string
}

async function work(): Promise<void> {
  process.on('message', async (part: number) => {
    const told: Told = { part, seen: 0 }
    try {
      told.seen = await parts[part]!.prove()
    } catch (error) {
      told.fault = (error as Error).message
    }
    process.send!(told)
  })
  process.send!('ready')
}

async function dealOut(): Promise<Told[]> {
  const all: Told[] = []
  let next = 0
  const lanes = Array.from({ length: availableParallelism() }, async () => {
    // Refusals are errors, and nobody reads where they come from.
    const worker = fork(import.meta.filename, ['worker'], { execArgv: ['--stack-trace-limit=0'] })
    await new Promise<void>((resolve, reject) => {
      worker.on('message', (told: Told | 'ready') => {
        if (told !== 'ready') all.push(told)
        if (next < parts.length) worker.send(next++)
        else worker.disconnect()
      })
      worker.on('exit', code =>
        code === 0 ? resolve() : reject(new Error(`a process of the proof ended with ${code}`))
      )
    })
  })
  await Promise.all(lanes)
  return all
}

async function main(): Promise<void> {
  const begun = performance.now()
  const all = await dealOut()
  const failed = all.filter(({ fault }) => fault !== undefined)
  for (const { fault } of failed) console.log(`${fault}\n`)
  const seen = new Map<string, [parts: number, seen: number]>()
  for (const told of all) {
    const { kind } = parts[told.part]!
    const [count, sum] = seen.get(kind) ?? [0, 0]
    seen.set(kind, [count + 1, sum + told.seen])
  }
  for (const [kind, [count, sum]] of seen) console.log(`${sum} ${kind}, in ${count} parts`)
  console.log(`${Math.round((performance.now() - begun) / 1000)} s`)
  if (all.length !== parts.length) throw new Error(`${all.length} of ${parts.length} parts were told`)
  console.log(`${all.length - failed.length} passed, ${failed.length} failed`)
  process.exitCode = failed.length === 0 ? 0 : 1
}

await (process.argv[2] === 'worker' ? work() : main())
