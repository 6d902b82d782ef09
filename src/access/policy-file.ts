import { type Static, Type } from '@sinclair/typebox'
import { REPOSITORY_PATTERN } from '../registry/patterns.ts'
import { isIssuedGroup } from './claims.ts'
import { createPolicy, type Policy } from './policy.ts'
import { type Problem, parseYaml } from './yaml-file.ts'

const Names = Type.Array(Type.String({ minLength: 1 }), { minItems: 1 })

const RuleSchema = Type.Object(
  {
    users: Type.Optional(Names),
    groups: Type.Optional(Names),
    claims: Type.Optional(Type.Record(Type.String(), Type.Union([Type.String({ minLength: 1 }), Names]))),
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

const ALLOWED = {
  users: 'a list of users; `*` is everybody who has logged in',
  groups: 'a list of groups (in a rule), or lists of users by the name of their group (above the rules)',
  claims: 'patterns, or lists of them, by the name of their claim',
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
  const otherwise = `\`groups\` and \`rules\`; in a rule ${Object.keys(RuleSchema.properties).join(', ')}`
  return createPolicy(
    parseYaml(text, { schema: PolicySchema, whole: 'the policy', allowed: ALLOWED, otherwise, misfit })
  )
}

/** What a schema can't tell: rules for nobody, groups that are not there, claims that anybody's issuer could make. */
function misfit({ rules, groups = {} }: Static<typeof PolicySchema>): Problem | undefined {
  for (const [index, rule] of rules.entries()) {
    if (!rule.users && !rule.groups && !rule.claims && !rule.anonymous) {
      const who = '`users`, `groups`, `claims` or `anonymous: true`'
      return { path: ['rules', index], what: `is for nobody; allowed: with ${who}` }
    }
    const unknown = rule.groups?.find(group => !Object.hasOwn(groups, group) && !isIssuedGroup(group))
    if (unknown !== undefined) {
      const what = `names ${JSON.stringify(unknown)}; allowed: groups that are listed under \`groups\``
      return { path: ['rules', index, 'groups'], what }
    }
    if (rule.claims && rule.claims.iss === undefined) {
      const what = 'does not say whose; allowed: with `iss`, as several issuers may have claims of the same name'
      return { path: ['rules', index, 'claims'], what }
    }
  }
  return undefined
}
