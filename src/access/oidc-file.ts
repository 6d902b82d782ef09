import { type Static, Type } from '@sinclair/typebox'
import { type Problem, parseYaml } from './yaml-file.ts'

const Text = Type.String({ minLength: 1 })
/** Text with a colon before the first claim: so no claim can make a name that is somebody else's. */
const Template = Type.String({ pattern: '^[a-z0-9][a-z0-9._-]*:(?:[^{}]|\\{[^{}]+\\})*$' })

const IssuerSchema = Type.Object(
  {
    issuer: Type.String({ pattern: '^https?://[^\\s?#]+$' }),
    audience: Text,
    user: Template,
    groups: Type.Optional(Type.Array(Template)),
    required: Type.Record(Text, Type.Union([Text, Type.Array(Text, { minItems: 1 })]), { minProperties: 1 }),
    jwks: Type.Optional(Text)
  },
  { additionalProperties: false }
)

const OidcSchema = Type.Object({ issuers: Type.Array(IssuerSchema, { minItems: 1 }) }, { additionalProperties: false })

/** An issuer whose ID tokens are passwords. */
export type OidcIssuer = Static<typeof IssuerSchema>

const ALLOWED = {
  issuers: 'a list of issuers',
  issuer: 'the `iss` of its tokens, an https:// URL (http:// on this machine alone)',
  audience: 'the `aud` that tokens must have, a name of this registry',
  user: 'a name with a prefix of its own and claims in braces: `github:{repository}`',
  groups: 'a list of such names',
  required:
    'patterns, or lists of them, by the name of their claim; one at least, as others have tokens of this issuer too',
  jwks: 'a file or an https:// URL, where the issuer does not tell it itself'
}

/**
 * Reads a file of issuers. Throws an Error with one line that names the first place that can't be used.
 *
 * @param isSafe whether nobody on the way can change what comes from a URL
 */
export function parseOidc(text: string, isSafe: (url: URL) => boolean): OidcIssuer[] {
  const otherwise = `\`issuers\`; in an issuer ${Object.keys(IssuerSchema.properties).join(', ')}`
  const file = { schema: OidcSchema, whole: 'the file', allowed: ALLOWED, otherwise }
  return parseYaml(text, { ...file, misfit: value => misfit(value, isSafe) }).issuers
}

function misfit({ issuers }: Static<typeof OidcSchema>, isSafe: (url: URL) => boolean): Problem | undefined {
  const owners = new Map<string, string>()
  for (const [index, { issuer, user, groups = [], jwks }] of issuers.entries()) {
    const at = (name: string, what: string): Problem => ({ path: ['issuers', index, name], what })
    if (!URL.canParse(issuer) || !isSafe(new URL(issuer)))
      return at('issuer', `can't be used; allowed: ${ALLOWED.issuer}`)
    const insecure = jwks !== undefined && /^https?:/i.test(jwks) && !(URL.canParse(jwks) && isSafe(new URL(jwks)))
    if (insecure) return at('jwks', `can't be used; allowed: ${ALLOWED.jwks}`)
    for (const [name, template] of [['user', user], ...groups.map(group => ['groups', group])] as [string, string][]) {
      const prefix = template.slice(0, template.indexOf(':'))
      const owner = owners.get(prefix)
      if (prefix === 'token' || (owner !== undefined && owner !== issuer)) {
        return at(name, `begins with ${JSON.stringify(prefix)}; allowed: a prefix that nobody else's names have`)
      }
      owners.set(prefix, issuer)
    }
  }
  return undefined
}
