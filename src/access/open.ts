import { type AccessSettings, readHtpasswd, readPolicy } from '../config/access.ts'
import type { RegistryLog } from '../registry/log.ts'
import type { Robots } from '../registry/robots.ts'
import { watch } from '../watched.ts'
import { createAccess, type Login } from './access.ts'
import { createAttempts } from './attempts.ts'
import { createPasswords, type PasswordCheck } from './passwords.ts'
import { createPolicy, simpleRules } from './policy.ts'
import { createRobotLogin } from './robots.ts'

export interface Surroundings {
  log: RegistryLog
  /** Those of the store. */
  robots: () => Robots
  /** Whether nothing may be written. */
  readOnly: boolean
  /** ms since 1970. */
  now?: (() => number) | undefined
  /** Told what came of each look at a password. */
  passwordChecked?: ((result: PasswordCheck) => void) | undefined
}

/** Access control as it is set, over files that are read again when they change. Throws where one can't be used. */
export function openAccess(settings: AccessSettings, surroundings: Surroundings) {
  const { log, robots, readOnly, now, passwordChecked } = surroundings
  const { htpasswdFile, policyFile, anonymous, certificates = false } = settings
  const users =
    htpasswdFile === undefined
      ? undefined
      : watch({ name: 'AUTH_HTPASSWD_FILE', paths: [htpasswdFile], load: () => readHtpasswd(htpasswdFile), log })
  const rules =
    policyFile === undefined
      ? undefined
      : watch({ name: 'AUTH_POLICY_FILE', paths: [policyFile], load: () => readPolicy(policyFile), log })
  const simple = createPolicy(simpleRules(anonymous))
  const passwords = users && createPasswords(users.value, undefined, passwordChecked)
  const logins: Login[] = passwords ? [passwords.login] : []
  // A token is told by its form, so nobody pays for a check of its password.
  if (settings.robots) {
    logins.unshift(createRobotLogin({ robots: robots(), notes: !readOnly, log, ...(now && { now }) }))
  }
  const access = createAccess({
    logins,
    knows: user => passwords?.has(user) ?? false,
    certificates,
    attempts: createAttempts(now),
    policy: rules ? rules.value : () => simple
  })
  const close = (): void => {
    users?.close()
    rules?.close()
  }
  return { ...access, close }
}
