import type { Model } from './search.ts'

/** The rules that can be left out. */
export type Rule = 'fresh record' | 'grace' | 'pick first' | 'tag last' | 'look again' | 'catalog again' | 'entry again'

/** Ticks: a grace is four of them, and a request lasts less than half of it. */
const [GRACE, HALF, LAST] = [4, 2, 6]

interface Actor {
  at: number
  /** When its request began. */
  begun: number
  /** What it has listed: times of records, numbers of tag values. */
  records: number[]
  values: number[]
  kept: boolean
}

/**
 * One manifest in one repository, by the times its records were written; its tag, by the numbers of the values that name
 * it; and whether the catalog has the repository.
 */
interface State {
  now: number
  records: number[]
  values: number[]
  entered: boolean
  /** A PUT by tag was answered that came after all deletions. */
  tagged: boolean
  deletions: number
  /** By their names; one that never goes on has crashed. */
  actors: Record<string, Actor>
}

type Step = (state: State, actor: Actor, without: (rule: Rule) => boolean) => boolean

const END = 99
/** Where a program has got to, so that the last step is not taken for a request that is still open. */
const next = (actor: Actor, at = actor.at + 1): true => {
  actor.at = at
  return true
}
const add = (set: number[], value: number): void => {
  if (!set.includes(value)) set.push(value)
  set.sort((one, two) => one - two)
}
const without = (set: number[], gone: number[]): number[] => set.filter(value => !gone.includes(value))
const isEmpty = ({ records }: State): boolean => records.length === 0

/** PUT by tag: record, tag value, a look whether a record is there, the catalog; a PUT that was overtaken does it again. */
const put: Step = (state, actor, leftOut) => {
  const order = leftOut('tag last') ? [1, 0] : [0, 1]
  if (actor.at < 2) {
    if (actor.begun < 0) actor.begun = state.now
    if (order[actor.at] === 0) {
      const young = state.records.some(at => state.now - at < HALF || leftOut('fresh record'))
      if (!young) add(state.records, state.now)
    } else add(state.values, Math.max(0, ...state.values) + 1)
    return next(actor)
  }
  if (actor.at === 2) {
    if (isEmpty(state) && !leftOut('look again')) return next(actor, 0)
    const { at } = state.actors.delete!
    // A deletion that is about to take something may come last. One that has taken all does not.
    actor.values = [at > 0 && at < 4 ? -1 : state.deletions]
    return next(actor)
  }
  if (actor.at > 3) return leave(state, actor, 4, leftOut)
  const wasThere = state.entered
  state.entered = true
  if (actor.values[0] === state.deletions) state.tagged = true
  // What it is entered for may have been deleted just before, by one who found no entry to take out.
  return next(actor, wasThere || leftOut('entry again') ? END : 4)
}

/** DELETE by digest: lists the tag, then the records; takes the values, then the records, then the catalog entry. */
const remove: Step = (state, actor, leftOut) => {
  if (actor.at === 0) {
    if (isEmpty(state)) return false
    actor.begun = state.now
    state.deletions++
    state.tagged = false
    actor.values = [...state.values]
    return next(actor)
  }
  if (actor.at === 1) {
    actor.records = [...state.records]
    return next(actor)
  }
  if (actor.at === 2) {
    state.values = without(state.values, actor.values)
    return next(actor)
  }
  if (actor.at === 3) {
    state.records = without(state.records, actor.records)
    return next(actor)
  }
  return leave(state, actor, 4, leftOut)
}

/** Takes the entry of an empty repository, looks again, writes it back, and looks once more. */
function leave(state: State, actor: Actor, from: number, leftOut: (rule: Rule) => boolean): boolean {
  if (actor.at === from) return next(actor, isEmpty(state) ? from + 1 : END)
  if (actor.at === from + 1) {
    state.entered = false
    return next(actor, leftOut('catalog again') ? END : from + 2)
  }
  if (actor.at === from + 2) return next(actor, isEmpty(state) ? END : from + 3)
  state.entered = true
  return next(actor, from)
}

/** The collection of manifests that no tag keeps: picks records, then looks for tags, then takes what it picked. */
const collect: Step = (state, actor, leftOut) => {
  const order = leftOut('pick first') ? ['tags', 'pick'] : ['pick', 'tags']
  if (actor.at < 2) {
    if (order[actor.at] === 'tags') actor.kept = state.values.length > 0
    else {
      const old = state.records.every(at => state.now - at > GRACE || leftOut('grace'))
      if (isEmpty(state) || !old) return false
      actor.records = [...state.records]
    }
    return next(actor)
  }
  if (actor.at === 2) {
    if (!actor.kept) state.records = without(state.records, actor.records)
    return next(actor)
  }
  return leave(state, actor, 3, leftOut)
}

const copyOf = ({ actors, records, values, ...rest }: State): State => ({
  ...rest,
  records: [...records],
  values: [...values],
  actors: Object.fromEntries(
    Object.entries(actors).map(([name, actor]) => [
      name,
      { ...actor, records: [...actor.records], values: [...actor.values] }
    ])
  )
})

const programs: Record<string, Step> = { put, delete: remove, collect }
const REQUESTS = ['put', 'delete']

/** An old manifest that no tag names, and all who may meet over it. */
export function manifestModel(leftOut?: Rule): Model<State> {
  const idle: Actor = { at: 0, begun: -1, records: [], values: [], kept: false }
  const isLeftOut = (rule: Rule): boolean => rule === leftOut
  return {
    begin: {
      now: 0,
      records: [-GRACE - 1],
      values: [],
      entered: true,
      tagged: false,
      deletions: 0,
      actors: Object.fromEntries(Object.keys(programs).map(name => [name, idle]))
    },
    moves(state) {
      const moves: [string, State][] = []
      for (const [name, step] of Object.entries(programs)) {
        const after = copyOf(state)
        const actor = after.actors[name]!
        if (actor.at !== END && step(after, actor, isLeftOut)) moves.push([name, after])
      }
      const late = REQUESTS.some(name => {
        const { at, begun } = state.actors[name]!
        return begun >= 0 && at !== END && state.now + 1 - begun >= HALF
      })
      if (state.now < LAST && !late) moves.push(['a tick', { ...state, now: state.now + 1 }])
      return moves
    },
    broken({ tagged, deletions, values, records, entered, actors }) {
      if (tagged && (values.length === 0 || records.length === 0)) return 'a tag that was answered is not there'
      if (deletions === 0 && values.length > 0 && records.length === 0) return 'a tag is there before its manifest'
      const over = Object.values(actors).every(({ at }) => at === END)
      if (over && entered !== records.length > 0) return 'the catalog is not right in the end'
      return undefined
    }
  }
}
