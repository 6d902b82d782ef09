import { RegistryError } from '../../src/registry/errors.ts'
import type { Registry } from '../../src/registry/registry.ts'
import { StorageError } from '../../src/storage/driver.ts'
import { EXPIRY, GRACE } from '../support/world.ts'
import { type Actor, act, actingNow, type Request } from './actor.ts'
import { beginChance } from './chance.ts'
import { broken, garbage } from './check.ts'
import { begin, type Claims, endAll, type Matter, noClaims, type Open, type Thing } from './claims.ts'
import {
  collectorOf,
  emptyPlace,
  goTo,
  HALF,
  type Place,
  type ProcessOptions,
  placeLike,
  startProcess
} from './room.ts'
import { view } from './view.ts'
import { pushLayer, pushManifest, works } from './works.ts'

/** Where somebody works, and what all know. */
export interface At {
  registry: Registry
  /** What the beginning left for the actors, such as the name of an upload session. */
  notes: Map<string, string>
  /**
   * One request of a client. Returns 'ok', or the kind of the error that it was refused with; of a request that has not
   * ended after half of the grace, nothing more happens.
   */
  request(matter: Matter, work: () => Promise<unknown>): Promise<string>
}

export interface Work {
  title: string
  work(at: At): Promise<void>
  /** Whether it pushes all that it needs, so that it must end well when it is done again after a crash. */
  whole?: boolean
  /** It collects manifests that no tag keeps. */
  untagged?: boolean
  /** Of which kind its process is. */
  process?: ProcessOptions
}

export interface Beginning {
  title: string
  begin(at: At, pass: (ms: number) => void): Promise<void>
}

export interface Scene {
  title: string
  beginning: Beginning
  works: Work[]
  /** How much time may pass at once, and then again, in ms. */
  jumps: number[]
}

/** A beginning, to start runs from. */
export interface Prepared {
  scene: Scene
  place: Place
  claims: Claims
  notes: Map<string, string>
  untagged: boolean
  /** How often each thing was pushed in the beginning. */
  pushedBefore: Map<Thing, number>
}

/** Actors at work on a store. */
export interface Run extends Prepared {
  actors: Actor[]
  /** Jumps that were made. */
  jumped: number
}

const copyOf = (claims: Claims): Claims => structuredClone(claims)

function at(place: Place, claims: Claims, notes: Map<string, string>, registry: Registry, untagged: boolean): At {
  async function request(matter: Matter, work: () => Promise<unknown>): Promise<string> {
    let open: Open | undefined
    const own: Request = {
      begun: undefined,
      begin: () => {
        own.begun = place.now
        open = begin(claims, matter)
      }
    }
    const untilOf = (thing: Thing): number => {
      if (thing.endsWith('/layer')) return (matter.anew ? place.now : own.begun!) + HALF
      return untagged ? own.begun! + HALF : Number.POSITIVE_INFINITY
    }
    const actor = actingNow()
    if (actor) actor.request = own
    else own.begin()
    try {
      await work()
      open?.answered(untilOf)
      return 'ok'
    } catch (error) {
      // A store that is told to be unavailable is asked again by the client.
      const asked = error instanceof StorageError && error.fault === 'unavailable'
      if (!asked && (!(error instanceof RegistryError) || error.kind === 'internal')) throw error
      open?.refused()
      return error instanceof RegistryError ? error.kind : 'unavailable'
    } finally {
      if (actor) actor.request = undefined
    }
  }
  return { registry, notes, request }
}

export async function prepare(scene: Scene): Promise<Prepared> {
  const place = emptyPlace()
  const [claims, notes] = [noClaims(), new Map<string, string>()]
  const untagged = scene.works.some(work => work.untagged)
  beginChance({ before: true })
  goTo(place)
  const registry = await startProcess()
  await scene.beginning.begin(at(place, claims, notes, registry, untagged), ms => {
    place.now += ms
  })
  const pushedBefore = new Map([...claims.pushes].map(([thing, { begun }]) => [thing, begun]))
  return { scene, place, claims, notes, untagged, pushedBefore }
}

export async function startRun(prepared: Prepared): Promise<Run> {
  const { scene, notes, untagged } = prepared
  const place = placeLike(prepared.place)
  const claims = copyOf(prepared.claims)
  beginChance()
  goTo(place)
  const actors: Actor[] = []
  for (const [index, { work, process }] of scene.works.entries()) {
    const registry = await startProcess({ knowing: index === 0, ...process })
    actors.push(await act(index, () => work(at(place, claims, notes, registry, untagged))))
  }
  return { ...prepared, place, claims, actors, jumped: 0 }
}

/** Lets time pass. A request that would take half of the grace or longer does not go on. */
export function jump(run: Run): void {
  run.place.now += run.scene.jumps[run.jumped++]!
  for (const actor of run.actors) {
    if (actor.request?.begun !== undefined && run.place.now - actor.request.begun >= HALF) actor.state = 'crashed'
  }
}

/** Says what does not hold now. */
export function checkNow({ place, claims, actors }: Run): string | undefined {
  for (const { error } of actors) if (error) throw error
  return broken(claims, view(place.state), place.now)
}

export const isOver = ({ actors }: Run): boolean => actors.every(({ state }) => state !== 'works')

/**
 * Says what does not hold when all that are at work crash now: whether clients try again or not, everything that was
 * answered stays, and three collections later nothing is left that nobody needs.
 */
export async function checkCrash(run: Run): Promise<string | undefined> {
  const before = goTo(run.place)
  try {
    return (await checkCrashWith(run, false)) ?? (await checkCrashWith(run, true)) ?? (await checkDeletion(run))
  } finally {
    goTo(before)
  }
}

async function checkCrashWith(run: Run, again: boolean): Promise<string | undefined> {
  const place = placeLike(run.place)
  const claims = copyOf(run.claims)
  endAll(claims)
  goTo(place)
  const cut = run.actors.flatMap(({ state, index }) => (state === 'ended' ? [] : [run.scene.works[index]!]))
  if (again) {
    const retried = cut.filter(({ whole }) => whole)
    if (retried.length === 0) return undefined
    for (const work of retried) {
      const failed = await tryAgain(run, work, place, claims)
      if (failed) return `after a crash: ${failed}`
    }
  }
  for (let round = 1; round <= 3; round++) {
    place.now += GRACE + 1
    const { problems } = await collectorOf(await startProcess()).collect({ untagged: run.untagged })
    const fault = problems[0]?.message ?? broken(claims, view(place.state), place.now)
    if (fault) return `after a crash${again ? ', another try' : ''} and ${round} collections: ${fault}`
  }
  const left = garbage(view(place.state), { untagged: run.untagged, expired: false })
  if (left.length > 0)
    return `left after a crash${again ? ', another try' : ''} and three collections: ${left.join(', ')}`
  return checkExpiry(run, place)
}

/** A client deletes the image and pushes it again: no tag shows it that named it before. */
async function checkDeletion(run: Run): Promise<string | undefined> {
  const place = placeLike(run.place)
  const claims = copyOf(run.claims)
  const namesImage = () =>
    [...view(place.state).repositories.get('a')!.tags].find(([, [first]]) => first!.names === 'image')
  // A tag that was pushed while the manifest was deleted may be left without it, and is no tag until it is collected.
  const tagged = [...claims.pushes].some(
    ([thing, { begun }]) => thing.includes(':') && begun > (run.pushedBefore.get(thing) ?? 0)
  )
  if (!namesImage() || tagged) return undefined
  endAll(claims)
  goTo(place)
  const registry = await startProcess()
  const where = at(place, claims, run.notes, registry, run.untagged)
  await works.deleteManifest.work(where)
  await pushLayer(where, 'a')
  await pushManifest(where, 'a', 'image')
  const shown = namesImage()
  if (shown) return `${shown[0]} shows an image that was deleted after a crash, and pushed again`
  return broken(claims, view(place.state), place.now)
}

async function tryAgain(run: Run, work: Work, place: Place, claims: Claims): Promise<string | undefined> {
  const registry = await startProcess()
  const where = at(place, claims, run.notes, registry, run.untagged)
  const refused: string[] = []
  await work.work({
    ...where,
    request: async (matter, work) => {
      const answer = await where.request(matter, work)
      if (answer !== 'ok') refused.push(answer)
      return answer
    }
  })
  if (refused.length > 0) return `${work.title} is refused when it is tried again: ${refused.join(', ')}`
  return broken(claims, view(place.state), place.now)
}

async function checkExpiry(run: Run, place: Place): Promise<string | undefined> {
  const { state } = place
  if (state.uploads.size === 0 && ![...state.objects.keys()].some(key => key.startsWith('ended/'))) return undefined
  for (const age of [EXPIRY, GRACE, GRACE]) {
    place.now += age + 1
    await collectorOf(await startProcess()).collect({ untagged: run.untagged })
  }
  const left = garbage(view(state), { untagged: run.untagged, expired: true })
  return left.length > 0 ? `left after sessions have expired: ${left.join(', ')}` : undefined
}
