import { tokenVariables } from './token-variables.ts'
import { boolean, choice, optional, text } from './values.ts'

/** The variables of access control. */
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
  }),
  AUDIT_LOG: optional(
    boolean({
      default: '',
      unset: '`true` with access control, else `false`',
      description:
        'Whether each write, denial and login is logged in a line of its own with `audit: true`, at any `LOG_LEVEL` but `silent`.'
    })
  ),
  ...tokenVariables
}
