import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { htpasswdOf } from '../support/callers.ts'
import type { Authority, Certificate } from '../support/certificates.ts'
import { type Rules, startProvider } from './provider.ts'

const POLICY = `
rules:
  - {users: [alice], repositories: ['**'], actions: ['*']}
  - {users: [bob], repositories: [team/**], actions: [pull]}
  - {users: ['github:acme/app'], repositories: [jobs/**], actions: [pull, push]}
  - {anonymous: true, repositories: [public/**], actions: [pull]}
`
const oidcFile = (issuer: string) => `
issuers:
  - {issuer: '${issuer}', audience: registry.example.com, user: 'github:{repository}', required: {repository_owner: acme}}
`

/**
 * A provider's private address is one that some clients send no password to unless it is the registry's own too: crane
 * and cosign compare its port as well but take names, oras looks where a name leads but at no port.
 */
const NAMED = 'named-provider'

/** Whether a program is tried with a way of logging in. */
export function suits(name: string, scheme: string): boolean {
  if (scheme.endsWith('provider')) return ['crane', 'cosign'].includes(name) === scheme.endsWith(NAMED)
  // crane can't be given a certificate, and docker shows none on loopback.
  return scheme !== 'certificates' || !['crane', 'docker'].includes(name)
}

/** Variables of a registry. */
type Access = Record<string, string>

/** As the policy has it. */
const providerRules: Rules = (user, repository, action) =>
  user === 'alice' ||
  (user === 'bob' && repository === 'catalog') ||
  (action === 'pull' && ((user === 'bob' && repository.startsWith('team/')) || repository.startsWith('public/')))

/**
 * The ways to log in: each by what a registry is told of it.
 *
 * @param folder for the files that are named there
 * @param issuer of ID tokens
 */
export async function schemesIn(folder: string, authority: Authority, issuer: string): Promise<Record<string, Access>> {
  const at = (name: string) => join(folder, name)
  await writeFile(at('users'), await htpasswdOf('alice', 'bob'))
  await writeFile(at('policy.yaml'), POLICY)
  await writeFile(at('oidc.yaml'), oidcFile(issuer))
  const policy = { AUTH_POLICY_FILE: at('policy.yaml') }
  const oidc = { AUTH_OIDC_FILE: at('oidc.yaml') }
  // The policy lets anybody pull something, so the registry issues tokens unless it is told not to.
  const defaultTokens = { ...policy, ...oidc, AUTH_HTPASSWD_FILE: at('users'), AUTH_ROBOT_TOKENS: 'true' }
  const passwords = { ...defaultTokens, AUTH_TOKEN_ISSUER: 'none' }
  const tokens = { ...defaultTokens, AUTH_TOKEN_ISSUER: 'self' }
  const certificate = authority.issue('localhost')
  const tls = { TLS_CERT_FILE: certificate.certFile, TLS_KEY_FILE: certificate.keyFile }
  const provider = (host: '127.0.0.1' | 'localhost', own?: Certificate) =>
    startProvider(folder, host, providerRules, own)
  return {
    passwords,
    tokens: defaultTokens,
    provider: await provider('127.0.0.1'),
    [NAMED]: await provider('localhost'),
    'tls-passwords': { ...tls, ...passwords },
    'tls-tokens': { ...tls, ...tokens },
    'tls-provider': { ...tls, ...(await provider('127.0.0.1', certificate)) },
    [`tls-${NAMED}`]: { ...tls, ...(await provider('localhost', certificate)) },
    certificates: { ...tls, ...policy, TLS_CLIENT_CA_FILE: authority.caFile }
  }
}
