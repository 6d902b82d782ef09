import { createRequire } from 'node:module'
import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import type { Document, LineCounter } from 'yaml'
import { REPOSITORY_PATTERN } from '../registry/patterns.ts'
import { createPolicy, type Policy } from './policy.ts'

const Names = Type.Array(Type.String({ minLength: 1 }), { minItems: 1 })

const RuleSchema = Type.Object(
  {
    users: Type.Optional(Names),
    groups: Type.Optional(Names),
    anonymous: Type.Optional(Type.Literal(true)),
    repositories: Type.Array(Type.String({ pattern: REPOSITORY_PATTERN.source }), { minItems: 1 }),
    actions: Type.Array(
      Type.Union([Type.Literal('pull'), Type.Literal('push'), Type.Literal('delete'), Type.Literal('*')]),
      { minItems: 1 }
    )
  },
  { additionalProperties: false }
)

const PolicySchema = Type.Object(
  { groups: Type.Optional(Type.Record(Type.String(), Names)), rules: Type.Array(RuleSchema) },
  { additionalProperties: false }
)

/** Loaded where there is a policy, and at once, since the configuration is read so: it would be 50 ms of every start. */
const loadYaml = () => createRequire(import.meta.url)('yaml') as typeof import('yaml')

/** What is allowed where something else stands, by the last name of its place. */
const ALLOWED: Readonly<Record<string, string>> = {
  users: 'a list of users; `*` is everybody who has logged in',
  groups: 'a list of groups (in a rule), or lists of users by the name of their group (above the rules)',
  anonymous: '`true`',
  repositories:
    'a list of patterns of repository names: lower case, `*` for any text without a slash, `**` for any text',
  actions: 'a list of `pull`, `push`, `delete` or `*`',
  rules: 'a list of rules'
}

/**
 * Reads a policy file. Throws an Error with one line that names the first place that can't be used, by its line and its
 * path (`rules[0].actions`), and what is allowed there.
 */
export function parsePolicy(text: string): Policy {
  const { parseDocument, LineCounter } = loadYaml()
  const lines: LineCounter = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const [broken] = [...document.errors, ...document.warnings]
  if (broken) throw new Error(`line ${lines.linePos(broken.pos[0]).line}: no YAML: ${firstLine(broken.message)}`)
  const value: unknown = document.toJS()
  const problem = Value.Check(PolicySchema, value) ? misfit(value) : schemaProblem(value)
  if (problem) {
    const line = lines.linePos(startOf(document, problem.path)).line
    throw new Error(`line ${line}: ${placeText(problem.path)} ${problem.what}`)
  }
  return createPolicy(value as Static<typeof PolicySchema>)
}

type Path = readonly (string | number)[]

interface Problem {
  path: Path
  what: string
}

function schemaProblem(value: unknown): Problem {
  const [error] = [...Value.Errors(PolicySchema, value)]
  const path = (error?.path ?? '')
    .split('/')
    .slice(1)
    .map(part => (/^\d+$/.test(part) ? Number(part) : part.replaceAll('~1', '/').replaceAll('~0', '~')))
  const name = path.findLast(part => typeof part === 'string') ?? ''
  const allowed =
    ALLOWED[name] ?? `\`groups\` and \`rules\`; in a rule ${Object.keys(RuleSchema.properties).join(', ')}`
  return { path, what: `can't be used; allowed: ${allowed}` }
}

/** What a schema can't tell: rules for nobody, and groups that are not there. */
function misfit({ rules, groups = {} }: Static<typeof PolicySchema>): Problem | undefined {
  for (const [index, rule] of rules.entries()) {
    if (!rule.users && !rule.groups && !rule.anonymous) {
      return { path: ['rules', index], what: 'is for nobody; allowed: with `users`, `groups` or `anonymous: true`' }
    }
    const unknown = rule.groups?.find(group => !Object.hasOwn(groups, group))
    if (unknown !== undefined) {
      const what = `names ${JSON.stringify(unknown)}; allowed: groups that are listed under \`groups\``
      return { path: ['rules', index, 'groups'], what }
    }
  }
  return undefined
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
  const text = path.map(part => (typeof part === 'number' ? `[${part}]` : `.${part}`)).join('')
  return text === '' ? 'the policy' : text.replace(/^\./, '')
}

const firstLine = (text: string): string => text.split('\n', 1)[0] ?? ''
