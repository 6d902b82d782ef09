import { choice, optional, text } from './values.ts'

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
  AUTH_ANONYMOUS: optional(
    choice(
      {
        default: '',
        unset: '`none` with access control, else everything',
        description: 'What clients may do that have not logged in.'
      },
      ['none', 'pull']
    )
  )
}
