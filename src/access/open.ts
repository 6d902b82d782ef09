import { type AccessSettings, readHtpasswd } from '../config/access.ts'
import type { RegistryLog } from '../registry/log.ts'
import { watch } from '../watched.ts'
import { createAccess } from './access.ts'
import { createPasswords } from './passwords.ts'
import { simplePolicy } from './policy.ts'

/** Access control as it is set, over files that are read again when they change. Throws where one can't be used. */
export function openAccess({ htpasswdFile, anonymous }: AccessSettings, log: RegistryLog) {
  const users =
    htpasswdFile === undefined
      ? undefined
      : watch({ name: 'AUTH_HTPASSWD_FILE', paths: [htpasswdFile], load: () => readHtpasswd(htpasswdFile), log })
  const policy = simplePolicy(anonymous)
  const access = createAccess({ passwords: users && createPasswords(users.value), policy: () => policy })
  return { ...access, close: () => users?.close() }
}
