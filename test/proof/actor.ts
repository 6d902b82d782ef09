import { AsyncLocalStorage } from 'node:async_hooks'
import type { StorageDriver } from '../../src/storage/driver.ts'
import { asInAnyRun } from './chance.ts'

/** A storage call that waits to be let through. */
interface Call {
  what: string
  go(): void
  fail(error: Error): void
}

/** Somebody who works on the store at the same time as others: a client with its requests, or a collector. */
export interface Actor {
  index: number
  waiting: Call[]
  /** Stands for all that it has seen of the store and the clock. Of the same work with the same history, the same comes. */
  history: number
  /** Random numbers that it has drawn. */
  draws: number
  /** The request that it is in. */
  request: Request | undefined
  /** `left`: the run is over, and whoever still waited is sent away, so that its process is free for the next run. */
  state: 'works' | 'ended' | 'crashed' | 'left'
  /** What its work threw. */
  error?: unknown
}

export interface Request {
  /** When its first call was let through, by the store's clock; undefined: none was yet. */
  begun: number | undefined
  begin(): void
}

const actors = new AsyncLocalStorage<Actor>()

/** Who asks; undefined: nobody whose steps are counted. */
export const actingNow = (): Actor | undefined => actors.getStore()

/** Begins an actor's work, up to its first storage call. */
export function act(index: number, work: () => Promise<void>): Actor {
  const actor: Actor = { index, waiting: [], history: 0, draws: 0, request: undefined, state: 'works' }
  actors
    .run(actor, work)
    .catch(error => {
      actor.error = error
    })
    .then(() => {
      actor.state = 'ended'
    })
  return actor
}

class Left extends Error {}

/** Sends an actor away that has not ended. */
export function leave(actor: Actor): void {
  actor.state = 'left'
  for (const { fail } of actor.waiting.splice(0)) fail(new Left())
}

// Histories are numbered as they come up, so that two are the same exactly when their numbers are.
const histories = new Map<string, number>()

/** Adds what an actor has seen to its history. */
export function remember(actor: Actor, seen: string): void {
  const history = `${actor.history} ${asInAnyRun(seen)}`
  let number = histories.get(history)
  if (number === undefined) histories.set(history, (number = histories.size + 1))
  actor.history = number
}

/** Forgets all histories: between two searches, so that memory does not grow with their number. */
export const forgetHistories = (): void => histories.clear()

/** One step of whoever asks: it waits for its turn, and what comes of it is remembered. Others go on at once. */
export async function step<R>(what: string, work: () => Promise<R>): Promise<R> {
  const actor = actors.getStore()
  if (!actor) return work()
  await new Promise<void>((go, fail) => {
    if (actor.state === 'left') fail(new Left())
    else actor.waiting.push({ what, go, fail })
  })
  try {
    const result = await work()
    remember(actor, `${what} ${tell(result)}`)
    return result
  } catch (error) {
    remember(actor, `${what} ${error}`)
    throw error
  }
}

const tell = (result: unknown): string =>
  JSON.stringify(result, (_, value) => (value?.type === 'Buffer' ? Buffer.from(value.data).toString() : value))

/**
 * A store whose calls are steps. The deletion of several keys is one step for each, in any order unless one was asked
 * for. The key that signs sessions is read without a step: no two processes have another.
 */
export function inSteps(storage: StorageDriver): StorageDriver {
  const each =
    <A extends [string, ...unknown[]], R>(method: string, call: (...args: A) => Promise<R>) =>
    (...args: A): Promise<R> =>
      args[0].startsWith('system/') ? call(...args) : step(`${method} ${args[0]}`, () => call(...args))
  return {
    ...storage,
    stat: each('stat', storage.stat),
    get: each('get', storage.get),
    read: each('read', storage.read),
    put: each('put', storage.put),
    list: each('list', storage.list),
    async delete(keys, { ordered = false } = {}) {
      const drop = (key: string) => step(`delete ${key}`, () => storage.delete([key]))
      if (!ordered) await Promise.all(keys.toReversed().map(drop))
      else for (const key of keys) await drop(key)
    },
    upload: each('upload', storage.upload),
    append: each('append', storage.append),
    commit: each('commit', storage.commit),
    abort: each('abort', storage.abort),
    async *listUploads() {
      yield* await step('listUploads', async () => {
        const uploads: { id: string; ageMs: number }[] = []
        for await (const upload of storage.listUploads()) uploads.push(upload)
        return uploads
      })
    }
  }
}
