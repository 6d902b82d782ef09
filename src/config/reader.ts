import { TransformDecodeError, Value } from '@sinclair/typebox/value'
import { registryEnvironment } from './registry-maps.ts'
import { ConfigSchema, type VariableName, type Variables, type VariableValue } from './schema.ts'
import { createSources, type Source } from './sources.ts'
import { type Settings, Unusable } from './values.ts'

/**
 * Reads variables of an environment. Problems are gathered, each one line: the variable, what was given, what is
 * allowed. A variable with a problem reads as its default, so that the reading can go on and find the others.
 */
export function createReader(env: NodeJS.ProcessEnv) {
  const problems: string[] = []
  const sources = createSources(registryEnvironment(env))

  function isSet(name: VariableName): boolean {
    return sourceOf(name) !== undefined
  }

  /** Where the variable is set, if it is. */
  function sourceOf(name: VariableName): Source | undefined {
    return sources.of(name)[0]
  }

  function read<N extends VariableName>(name: N): VariableValue<N> {
    const variable = ConfigSchema.properties[name]
    const [source, ...others] = sources.of(name)
    if (source) problems.push(...others.flatMap(other => conflict(name, source, other)))
    try {
      if (source) return Value.Decode(variable, source.text)
    } catch (error) {
      // What a file holds is shown nowhere; which file it is may be.
      const shown = variable.secret && source?.kind !== 'file' ? '"…"' : quote(source!.given)
      const allowed = source!.text === undefined ? source!.allowed : undefined
      const unusable = source!.problem ?? reasonOf(error)
      const why = unusable === undefined ? '' : `: ${unusable}`
      problems.push(`${source!.name} is ${shown}${why}; allowed: ${allowed ?? variable.allowed}`)
    }
    return ('optional' in variable ? undefined : Value.Decode(variable, variable.default)) as VariableValue<N>
  }

  /** Reads those of the variables that name a setting. */
  function settings<V extends Partial<Variables>>(variables: V): Settings<V> {
    const entries = Object.entries(variables).filter(([, { setting }]) => setting !== undefined)
    return Object.fromEntries(
      entries.map(([name, { setting }]) => [setting, read(name as VariableName)])
    ) as Settings<V>
  }

  return { problems, isSet, sourceOf, read, settings }
}

export type Reader = ReturnType<typeof createReader>

/** What a variable says of text of the right form, through TypeBox's own error. */
function reasonOf(error: unknown): string | undefined {
  const cause = error instanceof TransformDecodeError ? error.error : error
  return cause instanceof Unusable ? cause.message : undefined
}

/** Two names that mean the same variable and do not agree. */
function conflict(name: VariableName, one: Source, other: Source): string[] {
  if (one.kind === 'file' || other.kind === 'file') {
    return [`${one.name} and ${other.name} are both set; allowed: one of them`]
  }
  if (one.text === other.text) return []
  const shown = ({ name: set, given }: Source) =>
    `${set} is ${ConfigSchema.properties[name].secret ? '"…"' : quote(given)}`
  return [`${shown(one)} and ${shown(other)}; allowed: one of them, or both the same`]
}

export const quote = (text: string): string => JSON.stringify(masked(text))

/** For logs and screens, where a password in a URL has no place. */
export function masked(text: string): string {
  return text.replace(/\/\/.*@/s, '//…@')
}
