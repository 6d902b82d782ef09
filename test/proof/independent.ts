/** What somebody did in a step, as far as it tells whether the order of two steps counts. */
export interface Deed {
  actor: number
  /** The call, as `method key`. */
  what: string
  /** A request began or ended with it. */
  bounds: boolean
}

const READS = ['stat', 'get', 'read', 'list']
const WRITES = ['put', 'delete']

/**
 * Whether two steps of two actors that come right after each other lead to the same in either order: then it is enough to
 * go one of the two ways. Whatever is not known to be so is taken not to be.
 */
export function areIndependent(one: Deed, other: Deed): boolean {
  // Of requests that overlap less is claimed than of those that come one after the other.
  if (one.bounds && other.bounds) return false
  const [first, second] = [callOf(one), callOf(other)]
  if (!first || !second) return false
  if (first.reads && second.reads) return true
  return !touches(first, second) && !touches(second, first)
}

interface Call {
  method: string
  key: string
  reads: boolean
}

/** Undefined for calls that are about uploads. */
function callOf({ what }: Deed): Call | undefined {
  const [method = '', key = ''] = what.split(' ')
  const reads = READS.includes(method)
  return reads || WRITES.includes(method) ? { method, key, reads } : undefined
}

/** What tags show on the way is looked at as well: of two changes to tags the order counts, whichever tags they are. */
function touches(one: Call, other: Call): boolean {
  if (one.method === 'list') return other.key.startsWith(one.key)
  return one.key === other.key || (!one.reads && !other.reads && isOfTags(one.key) && isOfTags(other.key))
}

const isOfTags = (key: string): boolean => key.includes('/_tags/')
