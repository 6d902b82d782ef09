import { type AccessSettings, readHtpasswd, readPolicy } from '../config/access.ts'
import type { RegistryLog } from '../registry/log.ts'
import { watch } from '../watched.ts'
import { createAccess } from './access.ts'
import { createPasswords } from './passwords.ts'
import { createPolicy, simpleRules } from './policy.ts'

/** Access control as it is set, over files that are read again when they change. Throws where one can't be used. */
export function openAccess(settings: AccessSettings, log: RegistryLog) {
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
  const access = createAccess({
    passwords: users && createPasswords(users.value),
    certificates,
    policy: rules ? rules.value : () => simple
  })
  const close = (): void => {
    users?.close()
    rules?.close()
  }
  return { ...access, close }
}
