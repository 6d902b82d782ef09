const MIN_COST = 4
/** bcrypt goes to 31. A check of 17, the most that `htpasswd` makes, takes some 6 s; one of 31 would take a day. */
const MAX_COST = 17

// How `htpasswd -B`, PHP and OpenBSD write bcrypt: `$2y$`, `$2a$` and `$2b$` stand for the same function.
const BCRYPT = /^\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}$/

export interface Htpasswd {
  /** The bcrypt hash of each user. */
  hashes: ReadonlyMap<string, string>
  /** The most work that one of them stands for, as a power of 2. */
  highestCost: number
}

/**
 * Reads a password file: `user:hash` on each line, empty lines and lines that begin with `#` left out.
 * Throws an Error that names the first line that can't be used; it repeats nothing of a hash.
 */
export function parseHtpasswd(text: string): Htpasswd {
  const hashes = new Map<string, string>()
  let highestCost = MIN_COST
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue
    const wrong = (what: string) => new Error(`line ${index + 1}: ${what}`)
    const colon = line.indexOf(':')
    if (colon < 1) throw wrong('not USER:HASH')
    const [user, hash] = [line.slice(0, colon), line.slice(colon + 1).trim()]
    if (hashes.has(user)) throw wrong(`the user ${JSON.stringify(user)} is there twice`)
    const cost = costOf(hash)
    if (cost === undefined) throw wrong('the hash is not bcrypt ($2a$, $2b$ or $2y$), which `htpasswd -B` makes')
    if (cost < MIN_COST || cost > MAX_COST) throw wrong(`a cost of ${cost}; allowed: ${MIN_COST} to ${MAX_COST}`)
    hashes.set(user, hash)
    highestCost = Math.max(highestCost, cost)
  }
  return { hashes, highestCost }
}

/** The work that a bcrypt hash stands for, as a power of 2; undefined: it is no bcrypt hash. */
export function costOf(hash: string): number | undefined {
  const cost = BCRYPT.exec(hash)?.[1]
  return cost === undefined ? undefined : Number(cost)
}
