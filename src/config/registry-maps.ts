import { registryNames } from './registry-names.ts'
import { loadYaml } from './yaml.ts'

/** Levels below which nothing of CNCF Distribution's configuration lies. */
const DEEPEST = 8

/** Parts that may be the name of a kind alone, or a map with that kind as a key. */
const KINDS = ['REGISTRY_STORAGE', 'REGISTRY_AUTH']

/** Keys of `storage` that are no drivers. */
const NO_KIND = ['cache', 'delete', 'maintenance', 'redirect', 'tag']

/**
 * The environment as CNCF Distribution reads it, with one variable for each value and the names of `registryNames`.
 * Names that are none of those stay.
 */
export function registryEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return withHeaderNames(withoutMaps(env))
}

/** Header names have no case, and environment variables are usually written in upper case. */
function withHeaderNames(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const others = Object.keys(env).filter(name => name.startsWith(HEADERS) && !Object.hasOwn(registryNames, name))
  if (others.length === 0) return env
  const renamed = { ...env }
  for (const name of others) {
    const known = headerNames.get(name.toLowerCase())
    // Where both say something else, the other stays: an unknown name that stops the start.
    if (known === undefined || (renamed[known]?.trim() && renamed[known] !== env[name])) continue
    delete renamed[name]
    renamed[known] = env[name]
  }
  return renamed
}

const HEADERS = 'REGISTRY_HTTP_HEADERS_'
const headerNames = new Map(
  Object.keys(registryNames)
    .filter(name => name.startsWith(HEADERS))
    .map(name => [name.toLowerCase(), name])
)

/**
 * CNCF Distribution takes a whole part of its configuration in one variable, as a map in YAML:
 * `REGISTRY_STORAGE_MAINTENANCE_READONLY={"enabled":true}`. Returns the environment with one variable for each value
 * instead, and where a map's key is the kind of storage or of access control, that kind. What is not such a map stays.
 */
function withoutMaps(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const names = Object.keys(env).filter(name => isPart(name) && env[name]?.trim().startsWith('{'))
  if (names.length === 0) return env
  const flat = { ...env }
  for (const name of names) {
    const map = mapIn(env[name]!)
    if (!map) continue
    delete flat[name]
    const kind = Object.keys(map).find(key => !NO_KIND.includes(key.toLowerCase()))
    if (kind !== undefined && KINDS.includes(name)) flat[name] = kind
    // What is set by itself comes first, as it does there.
    for (const [inner, text] of flatten(name, map, 0)) flat[inner] ??= text
  }
  return flat
}

/** Whether a name can be that of a part: one that we know takes text. */
const isPart = (name: string): boolean =>
  name.startsWith('REGISTRY_') && (KINDS.includes(name) || !Object.hasOwn(registryNames, name))

function mapIn(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = loadYaml().parse(text)
    return isMap(value) ? value : undefined
  } catch {
    return undefined
  }
}

const isMap = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function flatten(name: string, map: Record<string, unknown>, depth: number): [name: string, text: string][] {
  return Object.entries(map).flatMap(([key, value]) => {
    // Names of headers are data there, and no part of the configuration's own names.
    const inner = `${name}_${name === 'REGISTRY_HTTP_HEADERS' ? key : key.toUpperCase()}`
    if (isMap(value) && depth < DEEPEST) return flatten(inner, value, depth + 1)
    if (value === null || value === undefined) return []
    return [[inner, typeof value === 'object' ? JSON.stringify(value) : String(value)]]
  })
}
