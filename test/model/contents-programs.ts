/** The rules that can be left out. */
export type ContentRule =
  | 'fresh link'
  | 'grace'
  | 'pick first'
  | 'picked only'
  | 'surely newer'
  | 'entry first'
  | 'entry in time'
  | 'entry grace'
  | 'entry again'
  | 'no sharing'
  | 'gone stays'
  | 'young entry'

export type Repository = 'one' | 'other'

/** Ticks: a grace is four of them, and a request lasts less than half of it. */
export const [GRACE, HALF, QUARTER] = [4, 2, 1]
/** What is not there has no age. */
export const NONE = -1
export const END = 99

/** A key of a set. It names the content that is watched, or some other of the same bytes. */
export interface Link {
  id: number
  age: number
  watched: boolean
}

export interface Actor {
  at: number
  /** Ticks since its request, its listing or its entry began. */
  age: number
  /** What it has found or picked. */
  links: number[]
  /** Those of them that a newer link stands for. */
  surplus: number[]
  /** It names the watched content, or has seen something that needs what it looks at. */
  named: boolean
}

/** One blob in two repositories, and the content that is watched. */
export interface State {
  links: Record<Repository, Link[]>
  /** There is a manifest that names the blob. */
  manifests: Record<Repository, boolean>
  /** Ticks for which somebody was told that the blob is there. */
  promised: Record<Repository, number>
  stored: boolean
  /** The age of the entry that says that the content lost a link, and whether it says that it is gone. */
  entry: number
  gone: boolean
  /** By their names; one that never goes on has crashed. */
  actors: Record<string, Actor>
}

/** One call of the store; false: there is nothing to do now. */
export type Step = (state: State, actor: Actor, without: (rule: ContentRule) => boolean) => boolean

const next = (actor: Actor, at = actor.at + 1): true => {
  actor.at = at
  return true
}

/** Ends a request, or a round of a collection, which forgets all that it saw. */
const end = (actor: Actor, at: number): true => {
  Object.assign(actor, { age: NONE, links: [], surplus: [], named: false })
  return next(actor, at)
}

const begin = (actor: Actor): void => {
  if (actor.age === NONE) actor.age = 0
}

const idsOf = (links: Link[]): number[] => links.map(({ id }) => id)
const isNamed = ({ links }: State, repository: Repository): boolean => links[repository].some(({ watched }) => watched)

function add({ links, actors }: State, repository: Repository, watched: boolean): void {
  const known = [links.one, links.other].flatMap(idsOf).concat(Object.values(actors).flatMap(actor => actor.links))
  let id = 0
  while (known.includes(id)) id++
  links[repository] = [{ id, age: 0, watched }, ...links[repository]]
}

/** Looks at the newest link, to rely on it; one that is not young is written anew. */
const rely = (repository: Repository): Step[] => [
  (state, actor, without) => {
    const [newest] = state.links[repository]
    if (!newest) return end(actor, END)
    begin(actor)
    actor.named = newest.watched
    return next(actor, actor.at + (newest.age < HALF || without('fresh link') ? 2 : 1))
  },
  link(repository)
]

function link(repository: Repository): Step {
  return (state, actor) => {
    add(state, repository, actor.named)
    return next(actor)
  }
}

/** What is answered present, or pushed, can be relied on for half of the grace. */
function answer(repository: Repository): Step {
  return (state, actor) => {
    state.promised[repository] = HALF
    return end(actor, actor.at + 1)
  }
}

const put: Step = (state, actor) => {
  state.manifests.one = true
  return end(actor, END)
}

const removeManifest: Step = (state, actor) => {
  state.manifests.one = false
  return end(actor, END)
}

/** The same bytes, as content of their own. */
const uploadAgain: Step = (state, actor) => {
  add(state, 'one', false)
  return next(actor)
}

/** An upload names content that another left, or its own that lay there for a while. */
const seeContent: Step = (state, actor) => {
  if (!state.stored) return end(actor, END)
  begin(actor)
  actor.named = true
  return next(actor)
}

const seeNoEntry: Step = ({ entry }, actor, without) =>
  entry === NONE || without('no sharing') ? next(actor) : end(actor, END)

const seeYoungEntry: Step = ({ entry, gone }, actor, without) =>
  entry === NONE || (entry < HALF && !gone) || without('young entry') ? next(actor) : end(actor, END)

/** Word of the loss comes before the loss. */
const enter: Step = (state, actor, without) => {
  const loses = state.links.one.some(({ id, watched }) => watched && actor.links.includes(id))
  if (loses && !without('entry first')) Object.assign(state, { entry: 0, gone: false })
  actor.age = 0
  return next(actor)
}

const unlink =
  (then: number): Step =>
  (state, actor, without) => {
    if (actor.age > QUARTER && !without('entry in time')) return next(actor, actor.at - 1)
    const left = state.links.one.filter(({ id }) => !actor.links.includes(id))
    state.links.one = without('picked only') ? [] : left
    return end(actor, then)
  }

const listAll: Step = ({ links }, actor) => {
  if (links.one.length === 0) return false
  actor.links = idsOf(links.one)
  return next(actor)
}

/** `favour` says which of two links of the same age it would take for the newer one. */
const pick =
  (favour: 'first' | 'last'): Step =>
  ({ links: { one: links } }, actor, without) => {
    const old = links.filter(({ age }) => age > GRACE || without('grace'))
    if (old.length === 0) return false
    const newest = links.filter(({ age }) => age === links[0]!.age)
    const stays = without('surely newer') ? newest.slice(...(favour === 'first' ? [0, 1] : [-1])) : newest
    actor.links = idsOf(old)
    actor.surplus = idsOf(old.filter(link => !stays.includes(link)))
    return next(actor)
  }

const readManifests: Step = ({ manifests }, actor) => {
  actor.named = manifests.one
  return next(actor)
}

const choose: Step = (state, actor, without) => {
  if (actor.named) actor.links = actor.surplus
  return actor.links.length > 0 ? enter(state, actor, without) : end(actor, 0)
}

/** Picks links, then looks for manifests, then takes those that none needs. */
function collectLinks(favour: 'first' | 'last'): Step[] {
  const order = [pick(favour), readManifests] as const
  return [
    (state, actor, without) => order[without('pick first') ? 1 : 0](state, actor, without),
    (state, actor, without) => order[without('pick first') ? 0 : 1](state, actor, without),
    choose,
    unlink(0)
  ]
}

/** Whether the entry was older than the grace when a listing began. */
const isRipe = ({ entry }: State, listed: number): boolean => entry - listed > GRACE

/** The target of a mount is listed first: the other way round nothing could be overlooked. */
const beginListing: Step = (state, actor, without) => {
  const isUnmarked = state.stored && state.entry === NONE
  if (!isUnmarked && !isRipe(state, 0) && !(without('entry grace') && state.entry !== NONE)) return false
  begin(actor)
  actor.named = isNamed(state, 'other')
  return next(actor)
}

const endListing: Step = (state, actor) => {
  actor.named ||= isNamed(state, 'one')
  return next(actor)
}

/** Content that a link names keeps no entry. Of any other the entry is looked at again, or written. */
const judge: Step = (state, actor, without) => {
  if (actor.named) {
    if (actor.age <= HALF) state.entry = NONE
    return end(actor, 0)
  }
  if (state.stored && state.entry === NONE) state.entry = 0
  if (!isRipe(state, actor.age) && !without('entry again') && !without('entry grace')) return end(actor, 0)
  if (state.stored || !state.gone) return next(actor)
  state.entry = NONE
  return end(actor, 0)
}

const takeContent: Step = (state, actor) => {
  state.stored = false
  return next(actor)
}

/** Some look at the content first and then for its entry, so that stays for a while. */
const tellThatItIsGone: Step = (state, actor, without) => {
  Object.assign(state, without('gone stays') ? { entry: NONE } : { entry: 0, gone: true })
  return end(actor, 0)
}

const collectContents: Step[] = [beginListing, endListing, judge, takeContent, tellThatItIsGone]

/** Of a client, of which each request lasts less than half of the grace. */
export const requests: Record<string, Step[]> = {
  push: [...rely('one'), answer('one'), ...rely('one'), put],
  'push the same bytes': [uploadAgain, answer('one')],
  mount: [...rely('one'), link('other'), answer('other')],
  share: [seeContent, seeNoEntry, link('other'), answer('other')],
  'end late': [seeContent, seeYoungEntry, link('other'), answer('other')],
  'delete the manifest': [removeManifest]
}

export const programs: Record<string, Step[]> = {
  ...requests,
  'delete the blob': [listAll, enter, unlink(END)],
  'collect links': collectLinks('first'),
  'collect links too': collectLinks('last'),
  'collect contents': collectContents,
  'collect contents too': collectContents
}
