import { type OidcIssuer, parseOidc } from '../access/oidc-file.ts'
import { problemsOf, readAs } from './files.ts'
import type { Reader } from './reader.ts'
import { isSafe, isUrl, readJwks } from './tokens.ts'
import { optional, text } from './values.ts'

/** The variable of ID tokens that serve as passwords. */
export const oidcVariables = {
  AUTH_OIDC_FILE: optional(
    text(
      {
        default: '',
        alias: 'AUTH_OIDC',
        description:
          'Issuers of ID tokens that are passwords here, as those of CI jobs, and what users their claims make (docs/access.md); read again when it changes. Together with `AUTH_POLICY_FILE`.'
      },
      'a file that this process may read, with issuers in YAML'
    )
  )
}

/** ID tokens as passwords. */
export interface OidcSettings {
  /** Their issuers. */
  file: string
  /** How far the issuers' clocks and ours may be apart. */
  leewayMs: number
}

/** Undefined: there are no such issuers. */
export function readOidcSettings({ read, isSet, problems }: Reader, leewayMs: number): OidcSettings | undefined {
  const file = read('AUTH_OIDC_FILE')
  if (file === undefined) return undefined
  problems.push(...problemsOf(() => readOidc(file)))
  // Else whoever has logged in could do everything, and at some issuers that is half of the world.
  if (!isSet('AUTH_POLICY_FILE')) {
    problems.push('AUTH_OIDC_FILE is set and AUTH_POLICY_FILE is not; allowed: together, since who logs in is anybody')
  }
  return { file, leewayMs }
}

/** Throws an Error with one line for the operator where the file, or a file of keys that it names, can't be used. */
export function readOidc(path: string): OidcIssuer[] {
  const name = 'AUTH_OIDC_FILE'
  const issuers = readAs(name, path, 'issuers in YAML (docs/access.md)', text => parseOidc(text, isSafe))
  for (const { jwks } of issuers) if (jwks !== undefined && !isUrl(jwks)) readJwks(jwks, name)
  return issuers
}
