/** A small world: a state that is plain data, and what may happen to it next. */
export interface Model<S> {
  begin: S
  /** Every state that may come next, each with a word for what happened. */
  moves(state: S): [what: string, next: S][]
  /** What must never be; undefined: all is well. */
  broken(state: S): string | undefined
}

export interface Searched {
  states: number
  /** What is broken, and what led there. */
  fault?: { what: string; after: string[] }
}

/** Looks at every state that can come up, nearest first, and stops at the first that is broken. */
export function search<S>({ begin, moves, broken }: Model<S>): Searched {
  const from = new Map<string, [before: string, what: string] | undefined>([[JSON.stringify(begin), undefined]])
  for (const key of from.keys()) {
    const state = JSON.parse(key) as S
    const what = broken(state)
    if (what) return { states: from.size, fault: { what, after: wayTo(from, key) } }
    for (const [step, next] of moves(state)) {
      const nextKey = JSON.stringify(next)
      if (!from.has(nextKey)) from.set(nextKey, [key, step])
    }
  }
  return { states: from.size }
}

function wayTo(from: Map<string, [before: string, what: string] | undefined>, key: string): string[] {
  const way: string[] = []
  for (let link = from.get(key); link; link = from.get(link[0])) way.unshift(link[1])
  return way
}
