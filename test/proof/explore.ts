import { createHash } from 'node:crypto'
import { setImmediate as settled } from 'node:timers/promises'
import { forgetHistories, leave } from './actor.ts'
import { asInAnyRun } from './chance.ts'
import type { Claims } from './claims.ts'
import {
  checkCrash,
  checkNow,
  goOn,
  isOver,
  jump,
  type Prepared,
  prepare,
  type Run,
  type Scene,
  startRun
} from './run.ts'

export interface ExploreOptions {
  /**
   * How often an actor that could go on is interrupted by another, at most; calls that it makes side by side then go in
   * their order. Default: any number; and in any order where one is alone.
   */
  interruptions?: number
}

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

/** A point where more than one thing could happen, and which of them did. */
interface Choice {
  options: Option[]
  taken: number
}

interface Search {
  prepared: Prepared
  interruptions: number
  path: Choice[]
  seen: Set<string>
  judged: Set<string>
}

/**
 * Plays a scene in every order that its actors' steps can come in, with time passing at every point, and with a crash
 * of all at every point. A state that was seen is not gone on from again: what comes of it was seen as well. Throws with
 * the order when something does not hold.
 */
export async function explore(scene: Scene, { interruptions = Number.POSITIVE_INFINITY }: ExploreOptions = {}) {
  forgetHistories()
  const search: Search = { prepared: await prepare(scene), interruptions, path: [], seen: new Set(), judged: new Set() }
  const { path, seen, judged } = search
  for (let runs = 1; ; runs++) {
    const run = await startRun(search.prepared)
    await walk(search, run)
    run.actors.forEach(leave)
    await settled()
    while (path.length > 0 && path.at(-1)!.taken === path.at(-1)!.options.length - 1) path.pop()
    if (path.length === 0) return { states: seen.size, crashes: judged.size, runs } satisfies Explored
    path.at(-1)!.taken++
  }
}

/** Plays a scene once: `picks` say, round and round, who goes on or that time passes. Returns how many steps there were. */
export async function playOnce(scene: Scene, picks: readonly number[]): Promise<number> {
  const run = await startRun(await prepare(scene))
  const [judged, order] = [new Set<string>(), [] as string[]]
  try {
    for (;;) {
      // A whole collection lets others have a turn once in a while, and then goes on by itself.
      for (let turns = 0; turns < 3; turns++) await settled()
      await judge(run, judged, order)
      const options = optionsOf(run, TIME, Number.POSITIVE_INFINITY)
      if (options.length === 0) return order.length
      goOnWith(run, options[picks[order.length % picks.length]! % options.length]!, order)
    }
  } finally {
    run.actors.forEach(leave)
    await settled()
  }
}

function goOnWith(run: Run, { actor, call }: Option, order: string[]): void {
  if (actor !== TIME) {
    order.push(goOn(run.actors[actor]!, call))
    return
  }
  order.push(`${run.scene.jumps[run.jumped]! / 60_000} minutes pass`)
  jump(run)
}

/** Goes the way of the path again, and from its end on until a state that was seen before. */
async function walk(search: Search, run: Run): Promise<void> {
  const { path, seen, judged } = search
  const order: string[] = []
  let current = TIME
  let left = search.interruptions
  for (let depth = 0; ; depth++) {
    await settled() // the store waits for nothing: whoever can go on has come to its next call, or its end
    if (depth >= path.length) {
      const state = `${stateOf(run)} ${left === Number.POSITIVE_INFINITY ? '' : `${current} ${left}`}`
      if (seen.has(hash(state))) return
      seen.add(hash(state))
      await judge(run, judged, order)
      const options = optionsOf(run, current, left)
      if (options.length === 0) return
      path.push({ options, taken: 0 })
    } else {
      const fault = checkNow(run) // also for what it keeps in mind from one state to the next
      if (fault) throw faultOf(run, fault, order)
    }
    const { options, taken } = path[depth]!
    const { actor, call } = options[taken]!
    if (actor !== TIME) {
      const before = run.actors[current]
      if (actor !== current && before?.state === 'works' && before.waiting.length > 0) left--
      current = actor
    }
    goOnWith(run, { actor, call }, order)
  }
}

function optionsOf({ actors, scene, jumped }: Run, current: number, left: number): Option[] {
  const options: Option[] = []
  const waiting = actors.filter(({ state, waiting }) => state === 'works' && waiting.length > 0)
  const goesOn = waiting.some(({ index }) => index === current)
  for (const { index, waiting: calls } of waiting.sort(
    (one, two) => Number(two.index === current) - Number(one.index === current)
  )) {
    if (index !== current && goesOn && left === 0) continue
    const inAnyOrder = scene.works.length === 1 && left === Number.POSITIVE_INFINITY && scene.jumps.length === 0
    for (const call of inAnyOrder ? calls.keys() : [0]) options.push({ actor: index, call })
  }
  if (jumped < scene.jumps.length && waiting.length > 0) options.push({ actor: TIME, call: 0 })
  return options
}

async function judge(run: Run, judged: Set<string>, order: string[]): Promise<void> {
  const fault = checkNow(run)
  if (fault) throw faultOf(run, fault, order)
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
