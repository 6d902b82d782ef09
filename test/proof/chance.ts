import crypto from 'node:crypto'
import { syncBuiltinESMExports } from 'node:module'
import { actingNow } from './actor.ts'

let run = 0
let draws = 0

/** Takes out of a text what makes this run's ids differ from those of others. */
export const asInAnyRun = (text: string): string => text.replaceAll(prefixOf(run), 'run')

/**
 * Begins a run: ids of uploads that are drawn from now on differ from those of any other run by their prefix alone. What
 * nobody in particular draws is, from run to run, the same, and none of what was drawn `before` them.
 */
export function beginChance({ before = false } = {}): void {
  draws = before ? 0 : 1_000_000
  run++
}

const prefixOf = (number: number): string => (0xa0000000 + number).toString(16)

/**
 * Who draws, and how often it has drawn: in the same order of steps, everybody draws the same again. What no actor draws
 * sorts before what an actor does.
 */
function draw(): string {
  const actor = actingNow()
  const [who, count] = actor ? [actor.index + 1, ++actor.draws] : [0, ++draws]
  return who.toString(16).padStart(4, '0') + count.toString(16).padStart(12, '0')
}

/**
 * Makes this process's random numbers reproducible, and lets actors see a clock that is turned by hand instead of the
 * one that nobody sets.
 */
export function replaceChance(now: () => number): void {
  crypto.randomBytes = ((size: number) =>
    Buffer.from(draw().padEnd(size * 2, '0'), 'hex').subarray(0, size)) as typeof crypto.randomBytes
  crypto.randomUUID = () => {
    const drawn = draw()
    return `${prefixOf(run)}-${drawn.slice(0, 4)}-4000-8000-${drawn.slice(4)}`
  }
  syncBuiltinESMExports()
  const real = performance.now.bind(performance)
  performance.now = () => (actingNow() ? now() : real())
}
