import { readOidc } from '../config/oidc.ts'
import { isSafe, isUrl, readJwks } from '../config/tokens.ts'
import type { RegistryLog } from '../registry/log.ts'
import { type Watched, watch } from '../watched.ts'
import { discoverKeys, keysOfFile, keysOfUrl } from './key-sources.ts'
import { createOidcLogin } from './oidc.ts'
import type { OidcIssuer } from './oidc-file.ts'
import type { TokenKeys } from './token-keys.ts'

export interface OidcSurroundings {
  log: RegistryLog
  leewayMs: number
  /** ms since 1970. */
  now: () => number
  /** A monotonic clock, in ms. */
  steady: () => number
}

/** The login with ID tokens, over a file of issuers and what it names. Throws where it can't be used. */
export function openOidc(path: string, { log, leewayMs, now, steady }: OidcSurroundings) {
  const name = 'AUTH_OIDC_FILE'
  let opened: Watched<unknown>[] = []
  const closeKeys = (): void => {
    for (const file of opened) file.close()
    opened = []
  }
  // Those that the file named before are named by nobody any more.
  const issuers = watch({ name, paths: [path], load: () => readOidc(path), changed: closeKeys, log })

  function keysOf({ issuer, jwks }: OidcIssuer): TokenKeys {
    if (jwks === undefined) return keysOfUrl(() => discoverKeys(issuer, isSafe), log, steady)
    if (isUrl(jwks)) return keysOfUrl(async () => new URL(jwks), log, steady)
    const file = watch({ name, paths: [jwks], load: () => readJwks(jwks, name), log })
    opened.push(file)
    return keysOfFile(file)
  }

  const close = (): void => {
    issuers.close()
    closeKeys()
  }
  return { login: createOidcLogin({ issuers: issuers.value, keysOf, leewayMs, now }), close }
}
