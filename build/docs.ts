/** Writes what follows from the variables: the tables of docs/configuration.md and the names in the chart's schema. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { registryNames } from '../src/config/registry-names.ts'
import { ConfigSchema, sections, type VariableName } from '../src/config/schema.ts'
import { fileNameOf } from '../src/config/sources.ts'
import type { About } from '../src/config/values.ts'

export const configurationFile = join(import.meta.dirname, '../docs/configuration.md')

export const chartSchemaFile = join(import.meta.dirname, '../examples/helm/marina-distribution/values.schema.json')

/** Stands above each table; the table follows after one empty line. */
const PLACE = /(<!-- npm run docs: (\w+) -->\n\n)(?:\|.*\n)*/g

/** The text with every table as the schema has it. Throws where it has no place for one. */
export function withTables(text: string): string {
  const missing = new Set(Object.keys(tables))
  const written = text.replace(PLACE, (_, place: string, name: string) => {
    if (!missing.delete(name))
      throw new Error(`docs/configuration.md: there is no table "${name}", or it is there twice`)
    return `${place}${tables[name]}\n`
  })
  if (missing.size > 0)
    throw new Error(`docs/configuration.md needs a line "<!-- npm run docs: ${[...missing][0]} -->"`)
  return written
}

const tables: Readonly<Record<string, string>> = {
  ...Object.fromEntries(Object.entries(sections).map(([name, variables]) => [name, variablesTable(variables)])),
  registry: registryNamesTable()
}

function variablesTable(variables: Readonly<Record<string, About & { allowed: string }>>): string {
  const rows = Object.entries(variables).map(([name, variable]) => {
    const others = variable.fallbacks ?? (variable.alias === undefined ? [] : [variable.alias])
    const also = others.length === 0 ? '' : ` (or ${others.map(other => `\`${other}\``).join(', ')})`
    const preset = variable.default === '' ? (variable.unset ?? 'not set') : `\`${variable.default}\``
    return `| \`${name}\`${also} | ${preset} | ${variable.allowed} | ${variable.description} |`
  })
  return ['| Variable | Default | Allowed | What it does |', '|---|---|---|---|', ...rows].join('\n')
}

function registryNamesTable(): string {
  const rows = Object.entries(registryNames).map(([name, { becomes = {}, allowed, unneeded }]) => {
    const ours = Object.keys(becomes).map(variable => `\`${variable}\``)
    const what = unneeded === undefined ? ours.join(' and ') : `not needed: ${unneeded}`
    const how = unneeded === undefined ? ', from ' : '; allowed: '
    return `| \`${name}\` | ${what}${allowed === undefined ? '' : how + allowed} |`
  })
  return ['| Name | Becomes |', '|---|---|', ...rows].join('\n')
}

/** Variables that the chart sets by itself, since its Service, volumes and probes depend on them. */
const OF_THE_CHART: readonly string[] = ['HOST', 'METRICS_PORT', 'PORT', 'STORAGE_DRIVER', 'STORAGE_PATH']

/** The names that the chart's `config` may have, as values.schema.json has them. */
export function chartConfig(): Record<string, { $ref: string }> {
  const names = Object.entries(ConfigSchema.properties).flatMap(([name, variable]: [string, About]) => [
    name,
    ...(variable.secret ? [fileNameOf(name as VariableName)] : []),
    ...(variable.alias === undefined ? [] : [variable.alias]),
    ...(variable.fallbacks ?? [])
  ])
  const allowed = [...new Set(names)].filter(name => !OF_THE_CHART.includes(name)).sort()
  return Object.fromEntries(allowed.map(name => [name, { $ref: '#/definitions/variable' }]))
}

interface ChartSchema {
  properties: { config: { properties: ReturnType<typeof chartConfig> } }
}

/** The chart's schema with the names as the variables are. */
function withConfig(text: string): string {
  const schema = JSON.parse(text) as ChartSchema
  schema.properties.config.properties = chartConfig()
  return `${JSON.stringify(schema, null, 2)}\n`
}

if (process.argv[1] === import.meta.filename) {
  writeFileSync(chartSchemaFile, withConfig(readFileSync(chartSchemaFile, 'utf8')))
  writeFileSync(configurationFile, withTables(readFileSync(configurationFile, 'utf8')))
}
