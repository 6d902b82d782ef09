import { setImmediate as settled } from 'node:timers/promises'
import type { StorageDriver } from '../../src/storage/driver.ts'
import { asInAnyRun } from './chance.ts'

/** A storage call that waits to be let through. */
interface Call {
  what: string
  go(): void
}

/** Somebody who works on the store at the same time as others: a client with its requests, or a collector. */
export interface Actor {
  index: number
  waiting: Call[]
  /** Stands for all that it has seen of the store and the clock. Of the same work with the same history, the same comes. */
  history: number
  /** What it sees now is not remembered: its history is known. */
  forgetful: boolean
  /** Random numbers that it has drawn. */
  draws: number
  /** The request that it is in. */
  request: Request | undefined
  state: 'works' | 'ended' | 'crashed'
  /** What its work threw. */
  error?: unknown
}

export interface Request {
  /** When its first call was let through, by the store's clock; undefined: none was yet. */
  begun: number | undefined
  begin(): void
}

// One at a time goes on, and all others wait: so there is no need to follow who it is through every promise.
let acting: Actor | undefined

/** Who asks; undefined: nobody whose steps are counted. */
export const actingNow = (): Actor | undefined => acting

/** Begins an actor's work, up to its first storage call. */
export async function act(index: number, work: () => Promise<void>): Promise<Actor> {
  const actor: Actor = {
    index,
    waiting: [],
    history: 0,
    forgetful: false,
    draws: 0,
    request: undefined,
    state: 'works'
  }
  acting = actor
  void work()
    .catch(error => {
      actor.error = error
    })
    .then(() => {
      actor.state = 'ended'
    })
  await allWait()
  return actor
}

/** Lets through a call that an actor waits with. */
export function goOn(actor: Actor, call: number): string {
  const { what, go } = actor.waiting.splice(call, 1)[0]!
  acting = actor
  if (actor.request && actor.request.begun === undefined) actor.request.begin()
  go()
  return `${actor.index}: ${what}`
}

/**
 * Until whoever could go on has come to its next call, or its end: the store waits for nothing. A collection lets others
 * have a turn now and then, and goes on by itself.
 */
export async function allWait(turns = 1): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await settled()
  acting = undefined
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
  const actor = acting
  if (!actor) return work()
  await new Promise<void>(go => actor.waiting.push({ what, go }))
  try {
    const result = await work()
    if (!actor.forgetful) remember(actor, `${what} ${tell(result)}`)
    return result
  } catch (error) {
    if (!actor.forgetful) remember(actor, `${what} ${error}`)
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
