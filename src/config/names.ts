import { registryNames } from './registry-names.ts'
import { ConfigSchema, type VariableName, variableNames } from './schema.ts'
import { fileNameOf } from './sources.ts'

/** Families of ours in which an unknown name stops the start: a setting that does not count could leave the registry open. */
const SECURITY = /^(AUTH|TLS|S3)_/
/** The same for names of CNCF Distribution. */
const REGISTRY_SECURITY = /^REGISTRY_(AUTH|HTTP_TLS|PROXY|STORAGE_S3|STORAGE_DELETE|STORAGE_MAINTENANCE_READONLY)(_|$)/

/** Families in which an unknown name is worth a warning. */
const OURS = /^(STORAGE|AUDIT|LOG|GC|UPLOADS?|RATE|QUOTA|MANIFEST|TAGS|METRICS|REGISTRY)_|^QUOTAS?$/

export interface UnknownNames {
  /** Names that stop the start, since the setting would silently not count. */
  problems: string[]
  /** Other unknown names of our families: worth a line in the log. */
  warnings: string[]
}

/** Finds names in the environment that look like ours and are not. `strangers` are names of other programs. */
export function unknownNames(env: NodeJS.ProcessEnv, strangers: readonly string[]): UnknownNames {
  const found: UnknownNames = { problems: [], warnings: [] }
  for (const [name, value = ''] of Object.entries(env)) {
    if (value.trim() === '' || known.has(name) || strangers.includes(name) || isKubernetesLink(name, value)) continue
    const meant = nearMiss(name) ?? sameWords(name) ?? (SECURITY.test(name) ? likest(name) : undefined)
    if (meant !== undefined || SECURITY.test(name)) {
      const hint = meant === undefined ? 'docs/configuration.md lists the known ones' : `did you mean ${meant}?`
      found.problems.push(`unknown variable ${name}: ${hint}; ${letThrough(name)}`)
    } else if (REGISTRY_SECURITY.test(name)) {
      found.problems.push(`${name} is set, and this registry does not serve that setting; ${letThrough(name)}`)
    } else if (OURS.test(name)) {
      found.warnings.push(`${name} is not a variable of this registry and has no effect`)
    }
  }
  return found
}

const letThrough = (name: string): string => `allowed: ALLOW_UNKNOWN_VARIABLES=${name}, which ignores it`

const aliases = Object.values(ConfigSchema.properties).flatMap(({ alias, fallbacks = [] }) => [
  ...(alias === undefined ? [] : [alias]),
  ...fallbacks
])
const files = variableNames.filter(name => ConfigSchema.properties[name].secret).map(fileNameOf)
const known = new Set<string>([...variableNames, ...aliases, ...files, ...Object.keys(registryNames)])

/**
 * Kubernetes puts these into every container for each Service of its namespace: one named "storage" or "auth" must
 * not look like a setting.
 */
function isKubernetesLink(name: string, value: string): boolean {
  if (/_SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)$/.test(name)) return true
  if (/_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$/.test(name)) return true
  return name.endsWith('_PORT') && /^(tcp|udp|sctp):\/\//.test(value)
}

/** From this length on two typing errors may be meant for a name; they make another word of a shorter one. */
const LONG = 8

/**
 * What a name can be a typing error of. A single word (`PORT`, `HOST`) is near to what other programs use, and names that
 * we share with other programs (`AWS_…`, `OTEL_…`) are near to others of theirs.
 */
const candidates = [...known]
  .filter(name => name.includes('_') && !/^(AWS|OTEL)_/.test(name))
  .map(name => ({
    name,
    upper: name.toUpperCase(),
    stem: stemOf(name),
    ownLength: name.replace(/^REGISTRY_/, '').length
  }))

function nearMiss(name: string): string | undefined {
  const upper = name.toUpperCase()
  const stem = stemOf(name)
  let nearest: { name: string; distance: number } | undefined
  for (const candidate of candidates) {
    const most = candidate.ownLength < LONG ? 1 : 2
    const same = candidate.stem === stem || candidate.upper === upper
    if (!same && Math.abs(candidate.upper.length - upper.length) > most) continue
    const distance = same ? 0 : editDistance(upper, candidate.upper)
    // Whoever mistypes a name rarely begins with another letter: INTERNAL_URL is not meant for EXTERNAL_URL.
    if (distance > (candidate.upper[0] === upper[0] ? most : 1)) continue
    if (nearest === undefined || distance < nearest.distance) nearest = { name: candidate.name, distance }
  }
  return nearest?.name
}

/** Families whose names are also written without the family. */
const OMITTED = ['AUTH', 'TLS'].map(rootOf)
/** Variables that close something: a name with one word more than theirs, of these, means them. */
const CLOSING = /^(READ_ONLY|DELETE_ENABLED|IMMUTABLE_TAGS|TRUST_PROXY|QUOTA_BYTES|(AUTH|TLS)_.+_.+)$/
const ADDED = new Set(['MODE', 'ENABLED', 'IS', 'SET', 'MARINA', 'REGISTRY', 'STORAGE', 'SERVER', 'HTTP'].map(rootOf))
/** Names that can only mean one of ours, though they share few of its words. */
const MEANT: readonly [RegExp, VariableName][] = [
  [/(^|_)HTPASSWD(_|$)/i, 'AUTH_HTPASSWD_FILE'],
  [/^IMMUTABLE$/i, 'IMMUTABLE_TAGS']
]
/** More words than any name of ours has. */
const MOST_WORDS = 8

/** The names of `candidates` by their words in the order of the alphabet. */
const byWords = new Map(candidates.map(({ name }) => [orderless(name.split('_').map(rootOf)), name]))

/** The variable that has the same words in another order, without its family, or with a word that adds nothing. */
function sameWords(name: string): string | undefined {
  const given = name.split('_', MOST_WORDS + 1)
  if (given.length > MOST_WORDS) return undefined
  const words = given.map(rootOf)
  // A single word is near to what other programs use.
  const others = words.length > 1 ? [words, ...OMITTED.map(family => [...words, family])] : []
  const found = others.map(each => byWords.get(orderless(each))).find(each => each !== undefined)
  if (found !== undefined) return found
  for (const [index, word] of words.entries()) {
    const shorter = ADDED.has(word) ? byWords.get(orderless(words.toSpliced(index, 1))) : undefined
    if (shorter !== undefined && CLOSING.test(shorter)) return shorter
  }
  return MEANT.find(([pattern]) => pattern.test(name))?.[1]
}

function orderless(words: readonly string[]): string {
  return words.toSorted().join('_')
}

/** A word without its ending: ENABLE and ENABLED, TRUST and TRUSTED, PROXY and PROXIES are the same. */
function rootOf(word: string): string {
  const singular = word
    .toUpperCase()
    .replace(/IES$/, 'Y')
    .replace(/(?<=..)S$/, '')
  return singular.replace(/(?<=...)ED$/, '').replace(/(?<=...)E$/, '')
}

/** A name without underscores and plurals: READONLY and TRUST_PROXIES mean READ_ONLY and TRUST_PROXY. */
function stemOf(name: string): string {
  const words = name.toUpperCase().split('_')
  return words.map(word => word.replace(/IES$/, 'Y').replace(/(?<=..)S$/, '')).join('')
}

/** Words that others use for what a variable of ours has another word for. */
const SYNONYMS: Readonly<Record<string, string>> = { USER: 'HTPASSWD', USERS: 'HTPASSWD', PASSWORD: 'HTPASSWD' }

/** Of the same family, the variable that shares most words with this name; undefined: none does. */
function likest(name: string): string | undefined {
  const [family, ...words] = name.toUpperCase().split('_')
  // The credentials of storage in S3 have the AWS SDK's names.
  const families = family === 'S3' ? ['S3_', 'AWS_'] : [`${family}_`]
  const isLike = (a: string, b: string) =>
    a === b || (Math.min(a.length, b.length) >= 4 && (a.startsWith(b) || b.startsWith(a)))
  const scored = variableNames
    .filter(candidate => families.some(start => candidate.startsWith(start)))
    .map(candidate => {
      const others = candidate.split('_').slice(1)
      const shared = words.filter(word => others.some(other => isLike(SYNONYMS[word] ?? word, other))).length
      return { candidate, shared, more: others.length }
    })
    .filter(({ shared }) => shared > 0)
  return scored.sort((a, b) => b.shared - a.shared || a.more - b.more)[0]?.candidate
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
