import { masked, quote, type Reader } from './reader.ts'
import { registryEnvironment } from './registry-maps.ts'
import { type RegistryName, registryNames } from './registry-names.ts'
import { ConfigSchema, type VariableName } from './schema.ts'

/** One line that tells what each name of CNCF Distribution became; undefined: none is set. */
export function registryNote(environment: NodeJS.ProcessEnv): string | undefined {
  const env = registryEnvironment(environment)
  const parts = Object.entries(registryNames).flatMap(([name, meaning]) => {
    const text = env[name]?.trim()
    return text ? [`${name} ${outcome(meaning, text, env)}`] : []
  })
  return parts.length === 0 ? undefined : parts.join('; ')
}

function outcome({ becomes = {}, unneeded }: RegistryName, text: string, env: NodeJS.ProcessEnv): string {
  if (unneeded !== undefined) return `is not needed (${unneeded})`
  const made = Object.entries(becomes).map(([variable, make]) => [variable as VariableName, make(text, env)] as const)
  const set = made.filter(([, value]) => value)
  if (set.length === 0) return 'says what holds without it'
  const shown = set.map(
    ([variable, value = '']) => `${variable}=${ConfigSchema.properties[variable].secret ? '…' : masked(value)}`
  )
  return `became ${shown.join(' and ')}`
}

/**
 * A registry that was closed must not become an open one: `REGISTRY_AUTH` names a kind of access control, and without
 * what that needs there would be none.
 */
export function registryProblems(env: NodeJS.ProcessEnv, reader: Reader): string[] {
  return [...kindProblems(env, reader), ...unservedValues(env)]
}

/** Values of names that need no variable here, where another value would do something that this registry does not. */
function unservedValues(env: NodeJS.ProcessEnv): string[] {
  return Object.entries(registryNames).flatMap(([name, { accepts, allowed }]) => {
    const text = env[name]?.trim() ?? ''
    return text === '' || !accepts || accepts.test(text) ? [] : [`${name} is ${quote(text)}; allowed: ${allowed}`]
  })
}

function kindProblems(env: NodeJS.ProcessEnv, { isSet }: Reader): string[] {
  const kind = env.REGISTRY_AUTH?.trim()
  if (!kind) return []
  if (!Object.hasOwn(KINDS, kind)) return [`REGISTRY_AUTH is ${quote(kind)}; allowed: \`htpasswd\`, \`token\``]
  const { needs, missing, given } = KINDS[kind as keyof typeof KINDS]
  return isSet(needs) ? [] : [`REGISTRY_AUTH is "${kind}", and there is no ${missing}; allowed: with ${given}`]
}

const KINDS = {
  htpasswd: { needs: 'AUTH_HTPASSWD_FILE', missing: 'file of users', given: 'REGISTRY_AUTH_HTPASSWD_PATH' },
  token: { needs: 'AUTH_TOKEN_ISSUER', missing: 'issuer of tokens', given: 'REGISTRY_AUTH_TOKEN_ISSUER' }
} as const
