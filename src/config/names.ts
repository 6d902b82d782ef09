/** Variables that begin so are ours, or mean ours; others of the environment are nobody's business. */
const OUR_PREFIXES = /^(S3|STORAGE|AUTH|AUDIT|TLS|LOG|GC|UPLOADS?|RATE|QUOTA|MANIFEST|TAGS|METRICS|REGISTRY)_/

/** Typing errors that we take for the name meant: two letters wrong, missing or too many. */
const NEAR = 2

/** So short that two letters make another word: `REGISTRY_PATH` is not meant for `REGISTRY_AUTH`. */
const SHORT = /^REGISTRY_.{1,5}$/

export interface UnknownNames {
  /** Names that are almost a known one: the start stops, as the setting would silently not count. */
  problems: string[]
  /** Other unknown names with a prefix of ours: worth a word in the log. */
  warnings: string[]
}

/** Finds names in the environment that look like ours and are not. `known` holds every name that is read. */
export function unknownNames(env: NodeJS.ProcessEnv, known: readonly string[]): UnknownNames {
  const found: UnknownNames = { problems: [], warnings: [] }
  for (const [name, value = ''] of Object.entries(env)) {
    if (!OUR_PREFIXES.test(name) || known.includes(name) || isKubernetesLink(name, value)) continue
    const meant = nearest(name, known)
    if (meant === undefined) found.warnings.push(`${name} is not a variable of this registry and has no effect`)
    else found.problems.push(`${name} is set, but there is no such variable; allowed: ${meant}, if that was meant`)
  }
  return found
}

/**
 * Kubernetes puts these into every container for each Service of its namespace: one named "storage" or "auth" must
 * not look like a setting.
 */
function isKubernetesLink(name: string, value: string): boolean {
  if (/_SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)$/.test(name)) return true
  if (/_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$/.test(name)) return true
  return name.endsWith('_PORT') && /^(tcp|udp|sctp):\/\//.test(value)
}

function nearest(name: string, known: readonly string[]): string | undefined {
  return known
    .map(candidate => ({ candidate, distance: editDistance(name.toUpperCase(), candidate.toUpperCase()) }))
    .filter(({ candidate, distance }) => distance <= (SHORT.test(candidate) ? 1 : NEAR))
    .sort((a, b) => a.distance - b.distance)[0]?.candidate
}

/** Levenshtein's distance: the fewest letters to insert, drop or replace that turn one text into the other. */
export function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const above = row
    row = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = above[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      row.push(Math.min(replaced, above[j]! + 1, row[j - 1]! + 1))
    }
  }
  return row[b.length]!
}
