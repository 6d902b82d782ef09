import type { Command } from 'commander'
import { createReader, masked } from '../config/reader.ts'
import { registryNote } from '../config/registry-report.ts'
import { ConfigSchema, type VariableName, variableNames } from '../config/schema.ts'
import type { Source } from '../config/sources.ts'
import { ConfigError, configWarnings, loadConfig } from '../config.ts'

/** A variable, what it is, and where that comes from. */
interface Shown {
  name: VariableName
  /** In the form that the variable takes; null: it is not set and has no default. A secret's is `…`. */
  value: string | null
  source: 'default' | Source['kind']
  /** The name that the environment has; null for a default. */
  from: string | null
}

/** `config check` and `config print`: look at the configuration without starting. */
export function addConfig(program: Command, env = process.env): void {
  const config = program.command('config').description('look at the configuration')
  config
    .command('check')
    .description('report every problem of the environment variables; exit code 1 if there is one')
    .option('--json', 'as JSON')
    .action(({ json = false }: { json?: boolean }) => (json ? checkAsJson(env) : check(env)))
  config
    .command('print')
    .description('tell each value and where it comes from, then every problem; exit code 1 if there is one')
    .option('--json', 'as JSON')
    .action(({ json = false }: { json?: boolean }) => print(env, json))
}

function check(env: NodeJS.ProcessEnv): void {
  loadConfig(env)
  const note = registryNote(env)
  if (note !== undefined) console.error(note)
  for (const warning of configWarnings(env)) console.error(warning)
  console.log('configuration is good')
}

function checkAsJson(env: NodeJS.ProcessEnv): void {
  let problems: readonly string[] = []
  try {
    loadConfig(env)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    problems = error.problems
    process.exitCode = 1
  }
  const note = registryNote(env)
  const warnings = problems.length === 0 ? configWarnings(env) : []
  console.log(
    JSON.stringify({ good: problems.length === 0, problems, warnings, notes: note === undefined ? [] : [note] })
  )
}

function print(env: NodeJS.ProcessEnv, json: boolean): void {
  const { sourceOf } = createReader(env)
  const shown = variableNames.map(name => show(name, sourceOf(name)))
  console.log(json ? JSON.stringify(shown, undefined, 2) : shown.map(line).join('\n'))
  loadConfig(env)
}

function show(name: VariableName, source: Source | undefined): Shown {
  const variable = ConfigSchema.properties[name]
  if (!source) return { name, value: variable.default || null, source: 'default', from: null }
  // What could not be made into our form is shown as it was given.
  const value = variable.secret ? '…' : masked(source.text ?? source.given)
  return { name, value, source: source.kind, from: source.name }
}

function line({ name, value, source, from }: Shown): string {
  const origin = from === null || from === name ? source : `${source} ${from}`
  return `${`${name}=${value ?? ''}`.padEnd(48)} # ${origin}`
}
