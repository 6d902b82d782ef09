import { type AccessSettings, readHtpasswd, readPolicy } from '../config/access.ts'
import { isUrl, keysUrl, readJwks, readRootCerts, type TokenSettings } from '../config/tokens.ts'
import { RegistryError } from '../registry/errors.ts'
import type { RegistryLog } from '../registry/log.ts'
import type { Robots } from '../registry/robots.ts'
import { type Watched, watch } from '../watched.ts'
import { type Access, createAccess, type Login, type Tokens } from './access.ts'
import { createAttempts } from './attempts.ts'
import type { Caller } from './caller.ts'
import { createPasswords, type PasswordCheck } from './passwords.ts'
import { createPolicy, simpleRules } from './policy.ts'
import type { RefreshOptions, RefreshTokens } from './refresh-tokens.ts'
import { createRobotLogin } from './robots.ts'
import { parseScopes, type Access as ScopeAccess } from './scope.ts'
import type { IssuedToken, Issuer, IssuerOptions } from './token-issuer.ts'
import type { TokenKeys } from './token-keys.ts'

/** Scopes in one request for a token. Clients ask for a few; each is held against all rules of the policy. */
const MOST_SCOPES = 100

export interface Surroundings {
  log: RegistryLog
  /** Those of the store. */
  robots: () => Robots
  /** Whether nothing may be written. */
  readOnly: boolean
  /** The keys that all processes on the store share, for our own tokens. */
  sharedKeys: (make: () => Buffer, usedForMs: number) => IssuerOptions['keys']
  /** ms since 1970. */
  now: () => number
  /** A monotonic clock, in ms. */
  steady: () => number
  /** Told what came of each look at a password. */
  passwordChecked?: ((result: PasswordCheck) => void) | undefined
}

/** Access control as it is set, over files that are read again when they change. Throws where one can't be used. */
export async function openAccess(settings: AccessSettings, surroundings: Surroundings) {
  const { htpasswdFile, policyFile, anonymous, certificates = false } = settings
  const { log, robots, readOnly, now, steady, passwordChecked } = surroundings
  const closing: (() => void)[] = []
  const watched = <T>(name: string, path: string, read: (path: string) => T): Watched<T> => {
    const file = watch({ name, paths: [path], load: () => read(path), log })
    closing.push(file.close)
    return file
  }
  const users = htpasswdFile === undefined ? undefined : watched('AUTH_HTPASSWD_FILE', htpasswdFile, readHtpasswd)
  const rules = policyFile === undefined ? undefined : watched('AUTH_POLICY_FILE', policyFile, readPolicy)
  const simple = createPolicy(simpleRules(anonymous))
  const passwords = users && createPasswords(users.value, undefined, passwordChecked)
  const logins: Login[] = passwords ? [passwords.login] : []
  // A token is told by its form, so nobody pays for a check of its password.
  const robotLogin = settings.robots
    ? createRobotLogin({ robots: robots(), notes: !readOnly, log, now, steady })
    : undefined
  if (robotLogin) logins.unshift(robotLogin.login)
  if (settings.oidc) {
    // Loaded where there are such issuers.
    const { openOidc } = await import('./open-oidc.ts')
    const { file, leewayMs } = settings.oidc
    const { login, close } = openOidc(file, { log, leewayMs, now, steady })
    logins.unshift(login)
    closing.push(close)
  }
  const { tokens, issuer, refresh } = await openTokens(settings, surroundings, watched, {
    hasPassword: (user, fingerprint) => passwords?.isStill(user, fingerprint) ?? false,
    findRobot: async hash => robotLogin?.find(hash)
  })
  const access = createAccess({
    logins,
    knows: user => passwords?.has(user) ?? false,
    certificates,
    attempts: createAttempts(steady),
    tokens,
    policy: rules ? rules.value : () => simple
  })
  const issue =
    issuer &&
    (async (caller: Caller, scopes: readonly string[], offline: boolean): Promise<IssuedToken> => ({
      ...(await issueToken(access, issuer, caller, parseScopes(scopes))),
      ...(offline && { refreshToken: await refresh?.issue(caller) })
    }))
  /** Whose refresh token it is. Throws `unauthorized`. */
  async function redeem(token: string): Promise<Caller> {
    if (!refresh) throw new RegistryError('unauthorized')
    return refresh.redeem(token)
  }
  const close = (): void => {
    for (const end of closing) end()
  }
  return { ...access, issue, redeem, close }
}

/**
 * A token for what a caller may do of what they ask for. Throws `unauthorized` for who has not logged in where nothing is
 * open to them, and for who comes with a token: with one for another, they would be let in for ever.
 */
async function issueToken(access: Access, issuer: Issuer, caller: Caller, asked: ScopeAccess[]): Promise<IssuedToken> {
  if (asked.length > MOST_SCOPES) throw new RegistryError('request-invalid', {}, { message: 'too many scopes at once' })
  if (caller.grants || (caller.user === undefined && !access.isOpen())) throw new RegistryError('unauthorized')
  return issuer.issue(caller, access.grant(caller, asked))
}

type WatchFile = <T>(name: string, path: string, read: (path: string) => T) => Watched<T>

async function openTokens(
  { tokens: settings, policyFile }: AccessSettings,
  surroundings: Surroundings,
  watched: WatchFile,
  finders: Pick<RefreshOptions, 'hasPassword' | 'findRobot'>
): Promise<{ tokens?: Tokens; issuer?: Issuer; refresh?: RefreshTokens | undefined }> {
  if (!settings) return {}
  // Loaded where there are tokens.
  const { callerOf, createIssuer } = await import('./token-issuer.ts')
  const { service, issuer: iss, leewayMs, lifetimeMs, refreshLifetimeMs = 0 } = settings
  const { sharedKeys, now } = surroundings
  if (iss === undefined) {
    const { makePrivateKey } = await import('./own-keys.ts')
    const { createRefreshTokens } = await import('./refresh-tokens.ts')
    const keys = sharedKeys(makePrivateKey, Math.max(lifetimeMs, refreshLifetimeMs) + leewayMs)
    const common = { keys, service, leewayMs, now }
    const issuer = createIssuer({ ...common, lifetimeMs })
    const refresh =
      refreshLifetimeMs > 0 ? createRefreshTokens({ ...common, lifetimeMs: refreshLifetimeMs, ...finders }) : undefined
    return { issuer, refresh, tokens: { verify: issuer.verify, decide: false, own: true } }
  }
  const { createVerifier } = await import('./token-verifier.ts')
  const keys = await openKeys(settings, surroundings, watched)
  const { verify } = createVerifier({ keys, issuer: iss, audience: service, leewayMs, now, read: callerOf })
  return { tokens: { verify, decide: policyFile === undefined, own: false } }
}

async function openKeys(
  settings: TokenSettings,
  { log, steady }: Surroundings,
  watched: WatchFile
): Promise<TokenKeys> {
  const { keysOfFile, keysOfRoots, keysOfUrl } = await import('./key-sources.ts')
  const { jwks = '', rootCertsFile } = settings
  if (rootCertsFile !== undefined) return keysOfRoots(watched('AUTH_TOKEN_ROOTCERTS', rootCertsFile, readRootCerts))
  if (!isUrl(jwks)) return keysOfFile(watched('AUTH_TOKEN_JWKS', jwks, readJwks))
  const url = keysUrl(jwks)
  return keysOfUrl(async () => url, log, steady)
}
