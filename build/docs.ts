/** Writes the tables of docs/configuration.md, which `npm run docs` does and test/config.test.ts checks. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { registryNames } from '../src/config/registry-names.ts'
import { sections } from '../src/config/schema.ts'
import type { About } from '../src/config/values.ts'

export const configurationFile = join(import.meta.dirname, '../docs/configuration.md')

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

if (process.argv[1] === import.meta.filename) {
  writeFileSync(configurationFile, withTables(readFileSync(configurationFile, 'utf8')))
}
