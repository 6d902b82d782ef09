import { readFileSync } from 'node:fs'
import { unreadable } from './files.ts'
import { registryNames } from './registry-names.ts'
import { ConfigSchema, type VariableName } from './schema.ts'

/** Where a variable's text comes from. */
export interface Source {
  kind: 'environment' | 'alias' | 'file'
  /** The name that the environment has. */
  name: string
  /** What it has there. */
  given: string
  /** What is read, in our variable's form; undefined: it can't be made of what was given. */
  text: string | undefined
  /** Why it can't be made of that, where more is known. */
  problem?: string | undefined
  /** What may be given, where that is not what our variable takes. */
  allowed?: string | undefined
}

/** Finds the text of variables in an environment: under their own names, in files, and under names of other programs. */
export function createSources(env: NodeJS.ProcessEnv) {
  // Text that is empty counts as not set: that is how a compose file or a chart leaves something out.
  const textOf = (name: string): string => env[name]?.trim() ?? ''
  // The AWS SDK's own rule for the names that we share with it.
  const ignored = textOf('AWS_IGNORE_CONFIGURED_ENDPOINT_URLS') === 'true' ? 'AWS_ENDPOINT_URL' : undefined

  function named(kind: Source['kind'], name: string | undefined): Source[] {
    const text = name === undefined ? '' : textOf(name)
    return name === undefined || text === '' ? [] : [{ kind, name, given: text, text }]
  }

  /** Every name that means the variable itself; more than one must agree. */
  function meant(name: VariableName): Source[] {
    const { alias, secret } = ConfigSchema.properties[name]
    const others = named('alias', alias)
    const files = secret ? named('file', fileNameOf(name)).map(readSecret) : []
    return [...named('environment', name), ...others, ...files, ...fromRegistryNames(name)]
  }

  function fromRegistryNames(name: VariableName): Source[] {
    return Object.entries(registryNames).flatMap(([other, { becomes, allowed }]) => {
      const made = becomes?.[name]
      const [source] = made ? named('alias', other) : []
      if (!made || !source) return []
      const text = made(source.given, env)
      return text === '' ? [] : [{ ...source, text, allowed }]
    })
  }

  /** What the variable is read from, and the others that mean the same; none: its default holds. */
  function of(name: VariableName): [source?: Source, ...others: Source[]] {
    const found = meant(name)
    const [first, ...others] = found
    if (first) return [first, ...others]
    const { fallbacks = [] } = ConfigSchema.properties[name]
    const usable = fallbacks.filter(fallback => ignored === undefined || !fallback.startsWith(ignored))
    return [usable.flatMap(fallback => named('alias', fallback))[0]]
  }

  return { of }
}

/** A secret's variable may name a file instead, as Docker and Kubernetes mount secrets. */
export function fileNameOf(name: VariableName): string {
  return `${name}_FILE`
}

function readSecret(source: Source): Source {
  const allowed = 'a file that this process may read, with the secret in it'
  try {
    const text = readFileSync(source.given, 'utf8').replace(/\r?\n$/, '')
    return { ...source, text: text === '' ? undefined : text, allowed }
  } catch (error) {
    return { ...source, text: undefined, problem: unreadable(error), allowed }
  }
}
