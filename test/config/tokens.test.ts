import { generateKeyPairSync } from 'node:crypto'
import { join } from 'node:path'
import t from 'tap'
import { ConfigError, loadConfig } from '../../src/config.ts'
import { createAuthority } from '../support/certificates.ts'

const REALM = 'https://auth.example.com/token'

function problemsOf(env: NodeJS.ProcessEnv): readonly string[] {
  try {
    loadConfig(env)
    return []
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
}

t.test('tokens: what is set', async t => {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const folder = t.testdir({ jwks: JSON.stringify({ keys: [publicKey.export({ format: 'jwk' })] }) })
  const jwks = join(folder, 'jwks')
  const { caFile } = createAuthority(join(folder, 'ca'))
  const good = { AUTH_TOKEN_ISSUER: 'acme', AUTH_TOKEN_REALM: REALM, AUTH_TOKEN_SERVICE: 'registry' }
  const settings = { issuer: 'acme', realm: REALM, service: 'registry', leewayMs: 60_000, lifetimeMs: 300_000 }
  const tokensOf = (env: NodeJS.ProcessEnv) => loadConfig(env).access?.tokens
  t.match(tokensOf({ ...good, AUTH_TOKEN_JWKS: jwks }), { ...settings, jwks })
  t.match(tokensOf({ ...good, AUTH_TOKEN_ROOTCERTS: caFile }), { ...settings, rootCertsFile: caFile })
  for (const url of [
    'https://auth.example.com/jwks',
    'http://localhost:8080/k',
    'http://127.0.0.1/k',
    'http://[::1]/k'
  ]) {
    t.match(tokensOf({ ...good, AUTH_TOKEN_JWKS: url }), { jwks: url })
  }
  t.strictSame(tokensOf({ AUTH_TOKEN_ISSUER: 'self', AUTH_TOKEN_LIFETIME: '10m', AUTH_TOKEN_LEEWAY: '0' }), {
    realm: undefined,
    service: 'marina-distribution',
    leewayMs: 0,
    lifetimeMs: 600_000,
    refreshLifetimeMs: 90 * 24 * 3600e3
  })
  t.equal(tokensOf({ AUTH_ANONYMOUS: 'pull' }), undefined)
})

t.test(
  '15.31: where some may log in and all may pull, this registry issues tokens unless something else is said',
  async t => {
    const rule = (who: string) => `rules:\n- {${who}, repositories: ['**'], actions: [pull]}`
    const folder = t.testdir({ users: '', open: rule('anonymous: true'), closed: rule("users: ['*']") })
    const at = (name: string) => join(folder, name)
    const [users, open, closed] = [at('users'), at('open'), at('closed')]
    const own = { service: 'marina-distribution', byDefault: true, refreshLifetimeMs: 60_000, lifetimeMs: 300_000 }
    const pull = { AUTH_HTPASSWD_FILE: users, AUTH_ANONYMOUS: 'pull' }
    const cases: [what: string, env: NodeJS.ProcessEnv, tokens: object | undefined][] = [
      ['passwords, and pulling for all', pull, own],
      ['robots, and pulling for all', { AUTH_ROBOT_TOKENS: 'true', AUTH_ANONYMOUS: 'pull' }, own],
      ['a rule for all', { AUTH_HTPASSWD_FILE: users, AUTH_POLICY_FILE: open }, own],
      ['no rule for all', { AUTH_HTPASSWD_FILE: users, AUTH_POLICY_FILE: closed }, undefined],
      ['passwords alone', { AUTH_HTPASSWD_FILE: users }, undefined],
      ['passwords for all', { AUTH_HTPASSWD_FILE: users, AUTH_ANONYMOUS: 'none' }, undefined],
      ['nobody who could log in', { AUTH_ANONYMOUS: 'pull' }, undefined],
      ['nothing may be written, so there are no keys', { ...pull, READ_ONLY: 'true' }, undefined],
      ['no tokens', { ...pull, AUTH_TOKEN_ISSUER: 'none' }, undefined],
      ['own tokens, asked for', { ...pull, AUTH_TOKEN_ISSUER: 'self' }, { byDefault: undefined }]
    ]
    for (const [what, env, tokens] of cases) {
      const settings = loadConfig({ ...env, AUTH_TOKEN_REFRESH_LIFETIME: '1m' }).access?.tokens
      if (tokens) t.match(settings, tokens, what)
      else t.equal(settings, undefined, what)
    }
    t.match(problemsOf({ ...pull, AUTH_TOKEN_ISSUER: 'none', AUTH_TOKEN_REALM: REALM }), [
      /^AUTH_TOKEN_REALM is set and AUTH_TOKEN_ISSUER is "none"; allowed: with another issuer$/
    ])
  }
)

t.test('tokens: what is missing or does not fit is one line', async t => {
  const folder = t.testdir({
    empty: '{"keys": []}',
    secret: '{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}',
    broken: '{"keys": [{"kty": "RSA"}]}',
    text: 'keys',
    pem: '-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n'
  })
  const at = (name: string) => join(folder, name)
  const url = 'https://auth.example.com/jwks'
  const good = { AUTH_TOKEN_ISSUER: 'acme', AUTH_TOKEN_REALM: REALM, AUTH_TOKEN_SERVICE: 'registry' }
  const cases: [NodeJS.ProcessEnv, RegExp][] = [
    [good, /^AUTH_TOKEN_ISSUER needs its keys; allowed: one of AUTH_TOKEN_JWKS and AUTH_TOKEN_ROOTCERTS$/],
    [{ ...good, AUTH_TOKEN_JWKS: '/nowhere' }, /^AUTH_TOKEN_JWKS is "\/nowhere": it can't be read \(ENOENT\)/],
    [{ ...good, AUTH_TOKEN_JWKS: at('empty') }, /^AUTH_TOKEN_JWKS is "[^"]*": it has no public key/],
    [{ ...good, AUTH_TOKEN_JWKS: at('secret') }, /^AUTH_TOKEN_JWKS is "[^"]*": it has no public key/],
    [{ ...good, AUTH_TOKEN_JWKS: at('broken') }, /^AUTH_TOKEN_JWKS is "/],
    [{ ...good, AUTH_TOKEN_JWKS: at('text') }, /^AUTH_TOKEN_JWKS is "[^"]*": it is no JSON;/],
    [{ ...good, AUTH_TOKEN_JWKS: 'http://auth.example.com/jwks' }, /^AUTH_TOKEN_JWKS is "http:.*https:\/\//],
    [{ ...good, AUTH_TOKEN_ROOTCERTS: at('text') }, /^AUTH_TOKEN_ROOTCERTS is "[^"]*": it has no certificate;/],
    [{ ...good, AUTH_TOKEN_ROOTCERTS: at('pem') }, /^AUTH_TOKEN_ROOTCERTS is "/],
    [{ ...good, AUTH_TOKEN_JWKS: url, AUTH_TOKEN_REALM: '' }, /^AUTH_TOKEN_ISSUER is set and AUTH_TOKEN_REALM is not/],
    [{ ...good, AUTH_TOKEN_JWKS: url, AUTH_TOKEN_SERVICE: '' }, /^AUTH_TOKEN_ISSUER is set and AUTH_TOKEN_SERVICE is/],
    [{ ...good, AUTH_TOKEN_JWKS: url, AUTH_TOKEN_REALM: '/token' }, /^AUTH_TOKEN_REALM is "\/token"/],
    [{ ...good, AUTH_TOKEN_JWKS: url, AUTH_TOKEN_SERVICE: 'a"b' }, /^AUTH_TOKEN_SERVICE is "a\\"b"/],
    [{ AUTH_TOKEN_JWKS: url }, /^AUTH_TOKEN_JWKS is set and AUTH_TOKEN_ISSUER is not/],
    [{ AUTH_TOKEN_SERVICE: 'x' }, /^AUTH_TOKEN_SERVICE is set and AUTH_TOKEN_ISSUER is not/],
    [{ AUTH_TOKEN_ISSUER: 'self', AUTH_TOKEN_JWKS: url }, /^AUTH_TOKEN_JWKS is set and AUTH_TOKEN_ISSUER is "self"/]
  ]
  for (const [env, line] of cases) {
    const problems = problemsOf(env).filter(problem => !problem.includes('needs its keys') || env === good)
    t.match(problems[0], line, JSON.stringify(env))
    t.match(problems[0], /^[^\n]*; allowed: [^\n]+$/)
  }
})
