import { createRequire } from 'node:module'
import type { Static, TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import type { Document, LineCounter } from 'yaml'

/** Where in a file something is: names and indices from the top. */
export type Path = readonly (string | number)[]

export interface Problem {
  path: Path
  what: string
}

export interface YamlFile<S extends TSchema> {
  schema: S
  /** What the whole is called: `the policy`. */
  whole: string
  /** What is allowed where something else stands, by the last name of its place. */
  allowed: Readonly<Record<string, string>>
  /** What is allowed where that says nothing. */
  otherwise: string
  /** What a schema can't tell. */
  misfit(value: Static<S>): Problem | undefined
}

/** Loaded where there is such a file, and at once, since the configuration is read so: it would be 50 ms of every start. */
const loadYaml = () => createRequire(import.meta.url)('yaml') as typeof import('yaml')

/**
 * Reads a file in YAML. Throws an Error with one line that names the first place that can't be used, by its line and its
 * path (`rules[0].actions`), and what is allowed there.
 */
export function parseYaml<S extends TSchema>(text: string, file: YamlFile<S>): Static<S> {
  const { parseDocument, LineCounter } = loadYaml()
  const lines: LineCounter = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const [broken] = [...document.errors, ...document.warnings]
  if (broken) throw new Error(`line ${lines.linePos(broken.pos[0]).line}: no YAML: ${firstLine(broken.message)}`)
  const value: unknown = document.toJS()
  const problem = Value.Check(file.schema, value) ? file.misfit(value) : schemaProblem(value, file)
  if (problem) {
    const line = lines.linePos(startOf(document, problem.path)).line
    throw new Error(`line ${line}: ${placeText(problem.path) || file.whole} ${problem.what}`)
  }
  return value as Static<S>
}

function schemaProblem(value: unknown, { schema, allowed, otherwise }: YamlFile<TSchema>): Problem {
  const [error] = [...Value.Errors(schema, value)]
  const path = (error?.path ?? '')
    .split('/')
    .slice(1)
    .map(part => (/^\d+$/.test(part) ? Number(part) : part.replaceAll('~1', '/').replaceAll('~0', '~')))
  const name = path.findLast(part => typeof part === 'string') ?? ''
  return { path, what: `can't be used; allowed: ${allowed[name] ?? otherwise}` }
}

/** Where in the text something begins, or the nearest thing around it that is there. */
function startOf(document: Document, path: Path): number {
  for (let length = path.length; length > 0; length--) {
    const node = document.getIn(path.slice(0, length), true) as { range?: [number, number, number] } | undefined
    if (node?.range) return node.range[0]
  }
  return 0
}

function placeText(path: Path): string {
  return path
    .map(part => (typeof part === 'number' ? `[${part}]` : `.${part}`))
    .join('')
    .replace(/^\./, '')
}

const firstLine = (text: string): string => text.split('\n', 1)[0] ?? ''
