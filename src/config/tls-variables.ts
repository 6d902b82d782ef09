import { certificateFile, keyFile, optional } from './values.ts'

/** The variables of TLS by the registry itself. */
export const tlsVariables = {
  TLS_CERT_FILE: optional(
    certificateFile({
      default: '',
      unset: 'plain HTTP',
      description:
        'Certificate to serve HTTPS with, followed by those that lead to its issuer; taken up anew when it changes.'
    })
  ),
  TLS_KEY_FILE: optional(
    keyFile({ default: '', description: 'Private key of the certificate; taken up anew when it changes.' })
  ),
  TLS_CLIENT_CA_FILE: optional(
    certificateFile({
      default: '',
      description: 'Issuers of certificates that clients may log in with: the user is the common name (CN).'
    })
  )
}
