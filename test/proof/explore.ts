import { createHash } from 'node:crypto'
import { allWait, forgetHistories, goOn, type Request } from './actor.ts'
import { asInAnyRun } from './chance.ts'
import type { Claims } from './claims.ts'
import { areIndependent, type Deed } from './independent.ts'
import { checkCrash, checkNow, isOver, jump, type Prepared, prepare, type Run, type Scene, startRun } from './run.ts'

export interface Explored {
  /** Different states of the store, the actors and what was answered. */
  states: number
  /** Those of them in which a crash of all was tried out. */
  crashes: number
  runs: number
}

/** What can be done next: let through one of an actor's calls, or let time pass. */
interface Option {
  actor: number
  call: number
}
const TIME = -1

/** A step under way. */
interface Step {
  actor: number
  what: string
  /** That the actor was in. */
  request: Request | undefined
  begins: boolean
}

/** A point where more than one thing could happen, and which of them did. */
interface Choice {
  options: Option[]
  taken: number
  /** What was done from here, or from before in such a way that it would be the same from here on. */
  done: Deed[]
  /** What had been seen by then, so that who comes here again need not look at it on the way. */
  memory: Memory
}

interface Memory {
  histories: number[]
  present: Set<string>
  shown: Claims['shown']
}

interface Search {
  prepared: Prepared
  path: Choice[]
  /** By state: actors that need not go on from there, one bit for each, since what comes of it was seen otherwise. */
  seen: Map<string, number>
  judged: Set<string>
}

/**
 * Plays a scene in every order that its actors' steps can come in, with time passing at every point, and with a crash
 * of all at every point. A state that was seen is not gone on from again: what comes of it was seen as well. Throws with
 * the order when something does not hold.
 */
export async function explore(scene: Scene): Promise<Explored> {
  forgetHistories()
  const search: Search = { prepared: await prepare(scene), path: [], seen: new Map(), judged: new Set() }
  const { path, seen, judged } = search
  for (let runs = 1; ; runs++) {
    const run = await startRun(search.prepared)
    await walk(search, run)
    while (path.length > 0 && path.at(-1)!.taken === path.at(-1)!.options.length - 1) path.pop()
    if (path.length === 0) return { states: seen.size, crashes: judged.size, runs }
    path.at(-1)!.taken++
  }
}

/** Plays a scene once: `picks` say, round and round, who goes on or that time passes. Returns how many steps there were. */
export async function playOnce(scene: Scene, picks: readonly number[]): Promise<number> {
  const run = await startRun(await prepare(scene))
  const [judged, order] = [new Set<string>(), [] as string[]]
  for (;;) {
    await allWait(3)
    const fault = checkNow(run)
    if (fault) throw faultOf(run, fault, order)
    await judge(run, judged, order)
    const options = optionsOf(run)
    if (options.length === 0) return order.length
    goOnWith(run, options[picks[order.length % picks.length]! % options.length]!, order)
  }
}

/** Undefined: time passed. */
function goOnWith(run: Run, { actor: index, call }: Option, order: string[]): Step | undefined {
  if (index === TIME) {
    order.push(`${run.scene.jumps[run.jumped]! / 60_000} minutes pass`)
    jump(run)
    return undefined
  }
  const actor = run.actors[index]!
  const { request } = actor
  const step = { actor: index, what: actor.waiting[call]!.what, request, begins: request?.begun === undefined }
  order.push(goOn(actor, call))
  return step
}

/** Goes the way of the path again, and from its end on until a state that was seen before. */
async function walk(search: Search, run: Run): Promise<void> {
  const { path, seen, judged } = search
  const order: string[] = []
  let last: Step | undefined
  const known = path.length - 1
  forget(run, known > 0)
  for (let depth = 0; ; depth++) {
    await allWait()
    if (depth === known) recall(run, path[depth]!.memory)
    if (depth >= path.length) {
      const fault = checkNow(run)
      if (fault) throw faultOf(run, fault, order)
      const done = stillDone(search, run, last)
      const state = hash(stateOf(run))
      const before = seen.get(state)
      const idle = bitsOf(done) & (before ?? ~0)
      seen.set(state, idle)
      if (before === idle) return
      if (before === undefined) await judge(run, judged, order)
      const options = optionsOf(run).filter(({ actor }) => isNew(actor, idle, before))
      if (options.length === 0) return
      path.push({ options, taken: 0, done: done.filter(({ actor }) => idle & (1 << actor)), memory: memoryOf(run) })
    }
    const { options, taken } = path[depth]!
    last = goOnWith(run, options[taken]!, order)
  }
}

/** Whether an actor is to go on from a state that was seen `before`, or not, with some who need not. */
const isNew = (actor: number, idle: number, before: number | undefined): boolean =>
  actor === TIME ? before === undefined : ((before ?? ~0) & ~idle & (1 << actor)) !== 0

const bitsOf = (deeds: Deed[]): number => deeds.reduce((bits, { actor }) => bits | (1 << actor), 0)

/**
 * Two steps of which the order does not count are taken in one order alone: what was done from the state before, and is
 * independent of the step that led here, need not be done from here.
 */
function stillDone({ path }: Search, { scene, actors }: Run, last: Step | undefined): Deed[] {
  if (!last || scene.works.length === 1) return []
  const { actor, what, request, begins } = last
  const ends = request !== actors[actor]!.request
  const deed = { actor, what, bounds: request !== undefined && (begins || ends) }
  const { done } = path.at(-1)!
  const still = done.filter(other => areIndependent(other, deed))
  done.push(deed)
  return still
}

function memoryOf({ actors, claims: { present, shown } }: Run): Memory {
  return { histories: actors.map(({ history }) => history), present: new Set(present.keys()), shown: new Map(shown) }
}

/** On the way to where it was before nobody looks: all of it was seen. */
function forget({ actors }: Run, forgetful: boolean): void {
  for (const actor of actors) actor.forgetful = forgetful
}

function recall(run: Run, { histories, present, shown }: Memory): void {
  const { actors, claims } = run
  forget(run, false)
  for (const [index, actor] of actors.entries()) actor.history = histories[index]!
  for (const thing of claims.present.keys()) if (!present.has(thing)) claims.present.delete(thing)
  claims.shown = new Map(shown)
}

/** Calls that somebody makes side by side go in any order where they are alone with the clock, and else in theirs. */
function optionsOf({ actors, scene, jumped }: Run): Option[] {
  const waiting = actors.filter(({ state, waiting }) => state === 'works' && waiting.length > 0)
  const inAnyOrder = scene.works.length === 1
  const options = waiting.flatMap(({ index, waiting }) =>
    [...(inAnyOrder ? waiting.keys() : [0])].map(call => ({ actor: index, call }))
  )
  if (jumped < scene.jumps.length && waiting.length > 0) options.push({ actor: TIME, call: 0 })
  return options
}

/** Lets all crash in this state of the store, unless that was tried out before. */
async function judge(run: Run, judged: Set<string>, order: string[]): Promise<void> {
  const { scene, actors } = run
  const whole = actors.filter(({ state, index }) => state !== 'ended' && scene.works[index]!.whole)
  const store = hash(`${storeOf(run)} ${whole.map(({ index }) => index)}`)
  if (judged.has(store)) return
  judged.add(store)
  const later = await checkCrash(run)
  if (later) throw faultOf(run, later, order)
  if (!isOver(run) && actors.every(({ state, waiting }) => state !== 'works' || waiting.length === 0)) {
    throw faultOf(run, 'an actor stands still', order)
  }
}

const faultOf = ({ scene }: Run, fault: string, order: string[]): Error =>
  new Error(`${scene.title}: ${fault}\nin the order\n${order.join('\n')}`)

const hash = (text: string): string => createHash('sha1').update(text).digest('base64')

/** All that tells what may come: the store, what was answered, and what each actor knows. */
function stateOf(run: Run): string {
  const actors = run.actors.map(({ history, waiting, state, request }) => {
    const age = request?.begun === undefined ? '' : run.place.now - request.begun
    return `${history} ${waiting.length} ${state} ${age}`
  })
  return `${actors.join('|')} ${run.jumped} ${storeOf(run)}`
}

function storeOf({ place, claims }: Run): string {
  const { now, state } = place
  const objects = [...state.objects].map(
    ([key, { bytes, at }]) => `${key} ${now - at} ${bytes.length < 99 ? bytes : ''}`
  )
  const uploads = [...state.uploads].map(([id, { at, size, writer }]) => `${id} ${now - at} ${size} ${writer}`)
  return asInAnyRun(`${objects.sort().join('\n')}\n${uploads.sort().join('\n')}\n${claimed(claims, now)}`)
}

function claimed({ present, absent, tags, pushes, deletions, shown }: Claims, now: number): string {
  const until = [...present].map(([thing, until]) => `${thing} ${until - now}`)
  const counts = [...pushes, ...deletions].map(([thing, { begun, open }]) => `${thing} ${begun} ${open}`)
  const named = [...tags].map(([tag, { names, there }]) => `${tag} ${names} ${there}`)
  const order = [...shown].map(([tag, seq]) => `${tag} ${seq}`)
  return [until, [...absent], named, counts, order].map(part => part.sort().join(',')).join(';')
}
