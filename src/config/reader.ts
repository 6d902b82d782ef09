import { Value } from '@sinclair/typebox/value'
import { ConfigSchema, type VariableName, type VariableValue } from './schema.ts'

/**
 * Reads variables of an environment. Problems are gathered, each one line: the variable, what was given, what is
 * allowed. A variable with a problem reads as its default, so that the reading can go on and find the others.
 */
export function createReader(env: NodeJS.ProcessEnv) {
  const problems: string[] = []

  // Text that is empty counts as not set: that is how a compose file or a chart leaves something out.
  const textOf = (name = ''): string => env[name]?.trim() ?? ''
  // The AWS SDK's own rule for the names that we share with it.
  const ignored = textOf('AWS_IGNORE_CONFIGURED_ENDPOINT_URLS') === 'true' ? 'AWS_ENDPOINT_URL' : undefined

  function isSet(name: VariableName): boolean {
    return sourceOf(name) !== undefined
  }

  /** The name under which the variable is set, if it is. */
  function sourceOf(name: VariableName): string | undefined {
    const { alias, fallbacks = [] } = ConfigSchema.properties[name]
    const usable = fallbacks.filter(fallback => ignored === undefined || !fallback.startsWith(ignored))
    return [name, alias, ...usable].find(candidate => textOf(candidate) !== '')
  }

  function read<N extends VariableName>(name: N): VariableValue<N> {
    const variable = ConfigSchema.properties[name]
    const { alias } = variable
    const [given, other] = [textOf(name), textOf(alias)]
    if (given && other && given !== other) {
      problems.push(
        `${name} is ${quote(given)} and ${alias} is ${quote(other)}; allowed: one of them, or both the same`
      )
    }
    const source = sourceOf(name)
    try {
      if (source !== undefined) return Value.Decode(variable, textOf(source))
    } catch {
      const shown = variable.secret ? '"…"' : quote(textOf(source))
      problems.push(`${source} is ${shown}; allowed: ${variable.allowed}`)
    }
    return (variable.default === '' ? undefined : Value.Decode(variable, variable.default)) as VariableValue<N>
  }

  return { problems, isSet, read }
}

export type Reader = ReturnType<typeof createReader>

/** Problems end up in logs, where a password in a URL has no place. */
function quote(text: string): string {
  return JSON.stringify(text.replace(/\/\/.*@/s, '//…@'))
}
