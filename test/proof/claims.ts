/** A blob or a manifest in a repository, `a/layer`, or a tag of it, `a:v1`. */
export type Thing = string

/** What a request is about. */
export interface Matter {
  /** There, if the request is answered well. */
  brings?: Thing[]
  /** What it brings was not there when it came: it lasts from the answer on, and else from when the request came. */
  anew?: boolean
  /** Written anew maybe, though nothing is claimed of it. */
  touches?: Thing[]
  /** Points the tag at the thing. */
  tag?: [tag: Thing, manifest: Thing]
  takes?: Thing[]
}

interface Tag {
  /** What it may name: what it was pointed at, as far as nothing says which of them came last. */
  names: Thing[]
  /** It has a value, and the manifest is there. */
  there: boolean
}

/** All that was answered so far, as far as it binds the registry. Plain, so that it can be copied. */
export interface Claims {
  /** Until when a thing is there whatever is collected. */
  present: Map<Thing, number>
  /** What was deleted and not pushed again. */
  absent: Set<Thing>
  tags: Map<Thing, Tag>
  /** How often pushes and deletions of a thing have begun, and how many of them have not ended. */
  pushes: Map<Thing, Count>
  deletions: Map<Thing, Count>
  /** The number of the value that each tag showed last. */
  shown: Map<Thing, number>
}

interface Count {
  begun: number
  open: number
}

export const noClaims = (): Claims => ({
  present: new Map(),
  absent: new Set(),
  tags: new Map(),
  pushes: new Map(),
  deletions: new Map(),
  shown: new Map()
})

/** What each thing cannot be used without. */
export const needs: Record<string, string[]> = { image: ['layer'], other: ['layer'], index: ['image'], signature: [] }
/** What a manifest refers to, which keeps it. */
export const subjects: Record<string, string> = { signature: 'image' }

const countOf = (counts: Map<Thing, Count>, thing: Thing): Count => {
  const count = counts.get(thing) ?? { begun: 0, open: 0 }
  counts.set(thing, count)
  return count
}

/** A thing and all that can not be used without it. */
function dependents(thing: Thing): Thing[] {
  const [repository, name] = thing.split('/') as [string, string]
  const above = Object.keys(needs).filter(other => needs[other]!.includes(name))
  return [thing, ...above.flatMap(other => dependents(`${repository}/${other}`))]
}

export interface Open {
  /** It was answered well. `untilOf` tells until when a thing that it brings is there. */
  answered(untilOf: (thing: Thing) => number): void
  refused(): void
}

/** Notes that a request begins. Of what overlaps with a deletion nothing is claimed: either may have come last. */
export function begin(claims: Claims, { brings = [], touches = [], takes = [], tag }: Matter): Open {
  const { present, absent, tags, pushes, deletions } = claims
  const pushed = [...brings, ...touches, ...(tag ? [tag[0]] : [])]
  for (const thing of takes) {
    open(deletions, thing)
    for (const other of thing.includes(':') ? [] : dependents(thing)) present.delete(other)
    for (const [name, value] of tags) if (name === thing || value.names.includes(thing)) value.there = false
  }
  for (const thing of pushed) {
    open(pushes, thing)
    absent.delete(thing)
  }
  if (tag) {
    const { names, there } = tags.get(tag[0]) ?? { names: [], there: false }
    tags.set(tag[0], { names: [...new Set([...names, tag[1]])], there })
  }
  const undeleted = (things: Thing[]) => unchanged(deletions, things.flatMap(below), 0)
  const bringing = brings.map(thing => ({ thing, still: undeleted([thing]) }))
  const tagging = tag && { still: undeleted(tag), alone: unchanged(pushes, [tag[0]], 1) }
  const taking = takes.map(thing => ({ thing, still: unchanged(pushes, [thing], 0) }))

  const refused = (): void => {
    for (const thing of takes) countOf(deletions, thing).open--
    for (const thing of pushed) countOf(pushes, thing).open--
  }
  const answered = (untilOf: (thing: Thing) => number): void => {
    for (const { thing, still } of bringing) {
      if (still()) present.set(thing, Math.max(untilOf(thing), present.get(thing) ?? 0))
    }
    if (tag && tagging) {
      const value = tags.get(tag[0])!
      if (tagging.still()) value.there = true
      if (tagging.alone()) value.names = [tag[1]]
    }
    for (const { thing, still } of taking) if (still()) absent.add(thing)
    refused()
  }
  return { answered, refused }
}

const open = (counts: Map<Thing, Count>, thing: Thing): void => {
  const count = countOf(counts, thing)
  count.begun++
  count.open++
}

/** A thing and all that it needs. */
function below(thing: Thing): Thing[] {
  const [repository, name = ''] = thing.split('/')
  return [thing, ...(needs[name] ?? []).flatMap(other => below(`${repository}/${other}`))]
}

/** Whether nothing more of this has begun since, and only so many were open then. */
function unchanged(counts: Map<Thing, Count>, things: Thing[], mayBeOpen: number): () => boolean {
  const before = things.map(thing => ({ ...countOf(counts, thing) }))
  return () =>
    things.every((thing, index) => {
      const now = countOf(counts, thing)
      return now.begun === before[index]!.begun && before[index]!.open <= mayBeOpen
    })
}

/** After a crash of all: what had not ended never does. */
export function endAll({ pushes, deletions }: Claims): void {
  for (const counts of [pushes, deletions]) for (const count of counts.values()) count.open = 0
}
