import { AsyncLocalStorage } from 'node:async_hooks'
import { setImmediate as settled } from 'node:timers/promises'
import type { StorageDriver } from '../../src/storage/driver.ts'

/** A storage call that waits to be let through. */
interface Call {
  what: string
  go(): void
}

/** Somebody who works on the store at the same time as others: a request, or several one after the other. */
interface Actor<R> {
  waiting: Call[]
  span: Span
  result?: PromiseSettledResult<R>
}

/** When an actor's first call was let through and when it had ended, counted in calls of all. */
export interface Span {
  begun: number
  ended: number
}

export interface Run<R> {
  /** Undefined for who never ended: it crashed. */
  results: (PromiseSettledResult<R> | undefined)[]
  spans: Span[]
  /** The calls in their order, for whoever has to find out what went wrong. */
  order: string[]
}

export interface Scene<R> {
  works: (() => Promise<R>)[]
  /** Throws when the run did not end as it should. */
  check(run: Run<R>): Promise<void>
}

const actors = new AsyncLocalStorage<Actor<unknown>>()

/**
 * A store whose calls wait for their turn when an actor makes them; anybody else's go through. What a driver does not do
 * in one step, the deletion of several keys, counts as several calls; where their order is not asked for, the last goes
 * first.
 */
export function createInterleaved(storage: StorageDriver): StorageDriver {
  const turn = async (what: string): Promise<void> => {
    const actor = actors.getStore()
    if (actor) await new Promise<void>(go => actor.waiting.push({ what, go }))
  }
  const inTurn =
    <A extends [string, ...unknown[]], R>(method: string, call: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      await turn(`${method} ${args[0]}`)
      return call(...args)
    }
  return {
    ...storage,
    stat: inTurn('stat', storage.stat),
    get: inTurn('get', storage.get),
    read: inTurn('read', storage.read),
    put: inTurn('put', storage.put),
    list: inTurn('list', storage.list),
    delete: async (keys, options) => {
      for (const key of options?.ordered ? keys : keys.toReversed()) {
        await turn(`delete ${key}`)
        await storage.delete([key], options)
      }
    },
    upload: inTurn('upload', storage.upload),
    append: inTurn('append', storage.append),
    commit: inTurn('commit', storage.commit),
    abort: inTurn('abort', storage.abort)
  }
}

function start<R>(work: () => Promise<R>): Actor<R> {
  const actor: Actor<R> = { waiting: [], span: { begun: Infinity, ended: Infinity } }
  actors
    .run(actor as Actor<unknown>, work)
    .then(
      value => ({ status: 'fulfilled' as const, value }),
      (reason: unknown) => ({ status: 'rejected' as const, reason })
    )
    .then(result => {
      actor.result = result
    })
  return actor
}

/**
 * Runs actors side by side, one storage call at a time. `choose` says who of those that stand before a call goes on;
 * with `undefined` nobody does any more, as after a crash of all.
 */
export async function play<R>(
  works: (() => Promise<R>)[],
  choose: (ready: number[]) => number | undefined
): Promise<Run<R>> {
  const all = works.map(start)
  const order: string[] = []
  for (;;) {
    await settled() // the memory driver waits for nothing: whoever can go on has come to its next call, or its end
    for (const { result, span } of all) if (result) span.ended = Math.min(span.ended, order.length)
    const ready = all.flatMap(({ waiting }, index) => (waiting.length > 0 ? [index] : []))
    const chosen = ready.length > 0 ? choose(ready) : undefined
    if (chosen === undefined) break
    const { waiting, span } = all[chosen]!
    const call = waiting.shift()!
    span.begun = Math.min(span.begun, order.length)
    order.push(`${chosen}: ${call.what}`)
    call.go()
  }
  return { results: all.map(({ result }) => result), spans: all.map(({ span }) => span), order }
}

/** Runs one actor up to its storage call number `calls` (from 0), before which it stops for good. */
export async function crash(calls: number, work: () => Promise<unknown>): Promise<{ ended: boolean }> {
  let left = calls
  const { results } = await play([work], () => (left-- > 0 ? 0 : undefined))
  return { ended: results[0] !== undefined }
}

/** A point where more than one actor could go on, and which of them was taken. */
interface Choice {
  options: number[]
  taken: number
}

/**
 * Plays a scene, each time anew, in every order of its actors' storage calls in which an actor that could go on is
 * interrupted by another `interruptions` times at most. Few are enough: a race needs one actor to be overtaken, and to
 * be overtaken again. Returns how many orders there were; throws what `check` throws, with the order.
 */
export async function everyOrder<R>(interruptions: number, scene: () => Promise<Scene<R>>): Promise<number> {
  const path: Choice[] = []
  for (let orders = 1; ; orders++) {
    const { works, check } = await scene()
    await checked(await play(works, chooser(path, interruptions)), check)
    while (path.length > 0 && path.at(-1)!.taken === path.at(-1)!.options.length - 1) path.pop()
    if (path.length === 0) return orders
    path.at(-1)!.taken++
  }
}

/** Goes the way of `path` again, and from its end on lets each actor run as long as it can. */
function chooser(path: Choice[], interruptions: number): (ready: number[]) => number {
  let depth = 0
  let left = interruptions
  let current = -1
  return ready => {
    const goesOn = ready.includes(current)
    const others = ready.filter(actor => actor !== current)
    const options = goesOn ? [current, ...(left > 0 ? others : [])] : ready
    const choice = (path[depth++] ??= { options, taken: 0 })
    const chosen = options[choice.taken] ?? options[0]!
    if (goesOn && chosen !== current) left--
    current = chosen
    return chosen
  }
}

/** Plays a scene once in the order that `picks` give, round and round. */
export async function someOrder<R>(picks: readonly number[], scene: Scene<R>): Promise<void> {
  let at = 0
  const choose = (ready: number[]): number => ready[picks[at++ % picks.length]! % ready.length]!
  await checked(await play(scene.works, choose), scene.check)
}

async function checked<R>(run: Run<R>, check: Scene<R>['check']): Promise<void> {
  try {
    if (run.results.includes(undefined)) throw new Error('an actor stands still')
    await check(run)
  } catch (error) {
    throw new Error(`${(error as Error).message}\nin the order\n${run.order.join('\n')}`, { cause: error })
  }
}
