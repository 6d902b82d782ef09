import {
  type Actor,
  type ContentRule,
  GRACE,
  HALF,
  type Link,
  NONE,
  programs,
  requests,
  type State
} from './contents-programs.ts'
import type { Model } from './search.ts'

/** More than a grace, in which another collector may take what this one has seen. */
const LONGEST = GRACE + 1

/** Who meet, and over what. */
export interface Scene {
  actors: string[]
  /** The age of a link in the first repository. */
  link?: number
  manifest?: boolean
  /** The age of an entry for the content. */
  entry?: number
}

const copyOf = ({ links, manifests, promised, actors, ...rest }: State): State => ({
  ...rest,
  links: { ...links },
  manifests: { ...manifests },
  promised: { ...promised },
  actors: Object.fromEntries(Object.entries(actors).map(([name, actor]) => [name, { ...actor }]))
})

const grow = (age: number, most: number): number => (age === NONE ? NONE : Math.min(age + 1, most))
const olderLinks = (links: Link[]): Link[] => links.map(link => ({ ...link, age: grow(link.age, GRACE + 1) }))

/** A tick later. Nobody asks how much older than the grace a thing is, so there are only so many states. */
function older(state: State): State {
  const after = copyOf(state)
  for (const repository of ['one', 'other'] as const) {
    after.links[repository] = olderLinks(state.links[repository])
    after.promised[repository] = Math.max(0, state.promised[repository] - 1)
  }
  after.entry = grow(state.entry, GRACE + 1 + LONGEST)
  for (const actor of Object.values(after.actors)) actor.age = grow(actor.age, LONGEST)
  return after
}

/** Whether a request would last too long, or a listing of contents, by another tick. */
const isLate = (name: string, { age }: Actor): boolean =>
  name in requests ? age + 1 >= HALF : name.startsWith('collect contents') && age === LONGEST

export function contentModel(
  { actors, link, manifest = false, entry = NONE }: Scene,
  leftOut?: ContentRule
): Model<State> {
  const idle: Actor = { at: 0, age: NONE, links: [], surplus: [], named: false }
  const links: Link[] = link === undefined ? [] : [{ id: 0, age: link, watched: true }]
  return {
    begin: {
      links: { one: links, other: [] },
      manifests: { one: manifest, other: false },
      promised: { one: 0, other: 0 },
      stored: true,
      entry,
      gone: false,
      actors: Object.fromEntries(actors.map(name => [name, idle]))
    },
    moves(state) {
      const moves: [string, State][] = []
      for (const [name, { at }] of Object.entries(state.actors)) {
        const after = copyOf(state)
        const isMove = programs[name]![at]?.(after, after.actors[name]!, rule => rule === leftOut)
        if (isMove) moves.push([`${name} ${at}`, after])
      }
      if (!Object.entries(state.actors).some(([name, actor]) => isLate(name, actor)))
        moves.push(['a tick', older(state)])
      return moves
    },
    broken({ links, manifests, promised, stored }) {
      for (const repository of ['one', 'other'] as const) {
        const isThere = links[repository].length > 0
        if (!stored && links[repository].some(({ watched }) => watched)) return 'a link names content that is gone'
        if (manifests[repository] && !isThere) return 'a manifest is there without its blob'
        if (promised[repository] > 0 && !isThere) return 'a blob that was answered present is gone'
      }
      return undefined
    }
  }
}
