import { ANONYMOUS } from '../access/caller.ts'
import { type Htpasswd, parseHtpasswd } from '../access/htpasswd.ts'
import type { Policy } from '../access/policy.ts'
import { parsePolicy } from '../access/policy-file.ts'
import { problemsOf, readAs } from './files.ts'
import { type OidcSettings, readOidcSettings } from './oidc.ts'
import type { Reader } from './reader.ts'
import { readDefaultTokens, readTokens, type TokenSettings } from './tokens.ts'
import { boolean, choice, optional, text } from './values.ts'

/** The variables of access control, besides those of tokens. */
export const accessVariables = {
  AUTH_HTPASSWD_FILE: optional(
    text(
      {
        default: '',
        description:
          'Users and their passwords, one `user:hash` a line as `marina-distribution htpasswd` makes it; read again when it changes.'
      },
      'a file that this process may read, with bcrypt hashes'
    )
  ),
  AUTH_POLICY_FILE: optional(
    text(
      {
        default: '',
        unset: 'who has logged in may do everything',
        description: 'Rules of who may do what in which repositories (docs/access.md); read again when it changes.'
      },
      'a file that this process may read, with a policy in YAML'
    )
  ),
  AUTH_ANONYMOUS: optional(
    choice(
      {
        default: '',
        unset: '`none` with access control, else everything',
        description: 'What clients may do that have not logged in, where there is no policy.'
      },
      ['none', 'pull']
    )
  ),
  AUTH_ROBOT_TOKENS: boolean({
    default: 'false',
    description: 'Whether robots are let in with tokens that `marina-distribution token create` makes.'
  })
}

/** The variable of the audit log. */
export const auditVariables = {
  AUDIT_LOG: optional(
    boolean({
      setting: 'auditLog',
      default: '',
      unset: '`true` with access control, else `false`',
      description:
        'Whether each write, denial and login is logged in a line of its own with `audit: true`, at any `LOG_LEVEL` but `silent`.'
    })
  )
}

/** Who may use the registry. */
export interface AccessSettings {
  /** Users and passwords. */
  htpasswdFile?: string | undefined
  /** Who may do what, where. */
  policyFile?: string | undefined
  /** Without a policy: what clients may do that have not logged in. */
  anonymous: 'none' | 'pull'
  /** Whether robots are let in by their tokens. */
  robots?: boolean | undefined
  /** Whether a client's certificate tells who it is. */
  certificates?: boolean | undefined
  /** Bearer tokens. */
  tokens?: TokenSettings | undefined
  /** ID tokens as passwords. */
  oidc?: OidcSettings | undefined
}

/** Reads the settings of access control; undefined: there is none, and everybody may do everything. */
export function readAccess(reader: Reader): AccessSettings | undefined {
  const { read, isSet, problems } = reader
  const leewayMs = read('AUTH_TOKEN_LEEWAY')
  const tokens = readTokens(reader, leewayMs)
  const oidc = readOidcSettings(reader, leewayMs)
  const htpasswdFile = read('AUTH_HTPASSWD_FILE')
  const policyFile = read('AUTH_POLICY_FILE')
  const anonymous = read('AUTH_ANONYMOUS')
  const robots = read('AUTH_ROBOT_TOKENS')
  if (htpasswdFile !== undefined) problems.push(...problemsOf(() => readHtpasswd(htpasswdFile)))
  if (policyFile !== undefined) problems.push(...problemsOf(() => readPolicy(policyFile)))
  if (policyFile !== undefined && anonymous !== undefined) {
    problems.push(
      `AUTH_ANONYMOUS is "${anonymous}" beside AUTH_POLICY_FILE; allowed: one of them, as the policy has rules for \`anonymous\``
    )
    return undefined
  }
  const certificates = isSet('TLS_CLIENT_CA_FILE')
  if (anonymous === 'none' && !isSet('AUTH_HTPASSWD_FILE') && !certificates && !robots && !tokens?.issuer) {
    problems.push(
      'AUTH_ANONYMOUS is "none", and nobody could log in; allowed: together with AUTH_HTPASSWD_FILE, TLS_CLIENT_CA_FILE or AUTH_ROBOT_TOKENS'
    )
  }
  const given = [htpasswdFile, policyFile, anonymous, tokens].some(setting => setting !== undefined)
  if (!given && !certificates && !robots) return undefined
  const canLogIn = htpasswdFile !== undefined || certificates || robots || oidc !== undefined
  const open = anonymous === 'pull' || (policyFile !== undefined && isOpen(policyFile))
  // docker pulls without a login by a token alone; a password that is asked for makes it want one.
  const forAll = canLogIn && open && !read('READ_ONLY') ? readDefaultTokens(reader, leewayMs) : undefined
  const issued = tokens ?? forAll
  return {
    htpasswdFile,
    policyFile,
    anonymous: anonymous ?? 'none',
    ...(certificates && { certificates }),
    ...(robots && { robots }),
    ...(issued && { tokens: issued }),
    ...(oidc && { oidc })
  }
}

/** Whether a policy lets anybody pull something, as it is at the start. */
function isOpen(policyFile: string): boolean {
  try {
    return readPolicy(policyFile).allowsSomewhere(ANONYMOUS, 'pull')
  } catch {
    // It is a problem of the configuration already.
    return false
  }
}

/** Throws an Error with one line for the operator where the file can't be used. */
export function readHtpasswd(path: string): Htpasswd {
  return readAs('AUTH_HTPASSWD_FILE', path, 'lines of USER:HASH with bcrypt hashes', parseHtpasswd)
}

/** Throws an Error with one line for the operator where the file can't be used. */
export function readPolicy(path: string): Policy {
  return readAs('AUTH_POLICY_FILE', path, 'a policy in YAML (docs/access.md)', parsePolicy)
}
