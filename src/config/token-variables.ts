import { duration, optional, text } from './values.ts'

/** What can stand in a header between quotes. */
const QUOTABLE = /^[\x21\x23-\x5b\x5d-\x7e]+$/

/** The variables of bearer tokens. */
export const tokenVariables = {
  AUTH_TOKEN_ISSUER: optional(
    text(
      {
        default: '',
        description:
          'Who issues the bearer tokens that clients may come with: the `iss` of an identity provider, or `self` for this registry, at `/v2/token`.'
      },
      '`self`, or what tokens have as `iss`',
      /^\P{Cc}+$/u
    )
  ),
  AUTH_TOKEN_REALM: optional(
    text(
      {
        default: '',
        unset: 'with `self` the `/v2/token` of `EXTERNAL_URL`, or of the address that the client came to',
        description: 'The URL at which clients get a token. Required, but for `self`.'
      },
      'an absolute `http://` or `https://` URL',
      { test: value => /^https?:\/\//i.test(value) && QUOTABLE.test(value) && URL.canParse(value) }
    )
  ),
  AUTH_TOKEN_SERVICE: optional(
    text(
      {
        default: '',
        unset: 'with `self` `marina-distribution`',
        description: 'The name of this registry at the issuer: tokens must have it as `aud`. Required, but for `self`.'
      },
      'text without spaces, `"` or `\\`',
      QUOTABLE
    )
  ),
  AUTH_TOKEN_JWKS: optional(
    text(
      {
        default: '',
        description:
          "The issuer's public keys: a JWK set, in a file that is read again when it changes, or at a URL that is asked again at most twice a minute when a token names a key that is not known."
      },
      'a file that this process may read, or an `https://` URL (`http://` on this machine alone)'
    )
  ),
  AUTH_TOKEN_ROOTCERTS: optional(
    text(
      {
        default: '',
        description:
          "The issuer's certificates, instead of a JWK set: of the keys that it signs with, or of who signed those that its tokens bring along (`x5c`). Read again when it changes."
      },
      'a file that this process may read, with certificates in PEM form'
    )
  ),
  AUTH_TOKEN_LEEWAY: duration(
    { default: '60s', description: "How far the issuer's clock and this machine's may be apart." },
    '0s',
    '10m'
  ),
  AUTH_TOKEN_LIFETIME: duration(
    { default: '5m', description: 'How long a token of this registry is good (`AUTH_TOKEN_ISSUER=self`).' },
    '1m',
    '24h'
  ),
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
