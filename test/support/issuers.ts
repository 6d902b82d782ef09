import { execFileSync } from 'node:child_process'
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, randomUUID } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type JWTHeaderParameters, type JWTPayload, SignJWT } from 'jose'
import type { Access } from '../../src/access/scope.ts'
import { libtrustId } from '../../src/access/token-keys.ts'
import type { TokenSettings } from '../../src/config/tokens.ts'
import { createAuthority } from './certificates.ts'
import { keepSecret } from './secrets.ts'

/** An identity provider that issues tokens as one of the common programs does. */
export interface TokenIssuer {
  /** What a registry has to be told to trust it. */
  settings: TokenSettings
  /** A token of this user; `more` goes over what the program would say. */
  token(user: string | undefined, access: readonly Access[], more?: Partial<JWTPayload>): Promise<string>
  /** Its key, and the header of its tokens. */
  key: KeyObject
  header: JWTHeaderParameters
  /** The clock of its tokens, in ms; tests turn it. */
  now: () => number
}

export const REALM = 'https://auth.example.com/token'
export const SERVICE = 'registry.example.com'

const seconds = (ms: number): number => Math.floor(ms / 1000)

/** A signed token, which no log may have in it. */
export async function sign(header: JWTHeaderParameters, claims: JWTPayload, key: KeyObject): Promise<string> {
  const token = await new SignJWT(claims).setProtectedHeader(header).sign(key)
  keepSecret(token)
  return token
}

const settingsOf = (issuer: string, keys: Partial<TokenSettings>): TokenSettings => ({
  issuer,
  realm: REALM,
  service: SERVICE,
  leewayMs: 60_000,
  lifetimeMs: 300_000,
  ...keys
})

/** A key and a certificate of it that it has signed itself, as their manuals have their users make one. */
function selfSigned(folder: string): { key: KeyObject; certFile: string } {
  mkdirSync(folder, { recursive: true })
  const [keyFile, certFile] = [join(folder, 'issuer.key'), join(folder, 'issuer.pem')]
  const make = ['-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=issuer', '-days', '2']
  execFileSync('openssl', ['req', ...make, '-keyout', keyFile, '-out', certFile], { stdio: 'pipe' })
  return { key: createPrivateKey(readFileSync(keyFile)), certFile }
}

type Make = (folder: string, now: () => number) => TokenIssuer

/** cesanta/docker_auth: `jti` is a number in text, `nbf` ten seconds ago. */
const dockerAuth: Make = (folder, now) => {
  const { key, certFile } = selfSigned(folder)
  const header = { typ: 'JWT', alg: 'RS256', kid: libtrustId(createPublicKey(key)) }
  return {
    settings: settingsOf('Acme auth server', { rootCertsFile: certFile }),
    key,
    header,
    now,
    token(user, access, more) {
      const at = seconds(now())
      const times = { exp: at + 900, nbf: at - 10, iat: at - 10, jti: String(at * 31) }
      return sign(header, { iss: 'Acme auth server', sub: user ?? '', aud: SERVICE, ...times, access, ...more }, key)
    }
  }
}

/** GitLab: no `sub` for who has not logged in, and more than the registry needs to know beside each access. */
const gitlab: Make = (folder, now) => {
  const { key, certFile } = selfSigned(folder)
  const header = { typ: 'JWT', alg: 'RS256', kid: libtrustId(createPublicKey(key)) }
  return {
    settings: settingsOf('omnibus-gitlab-issuer', { rootCertsFile: certFile }),
    key,
    header,
    now,
    token(user, access, more) {
      const at = seconds(now())
      const claims = {
        access: access.map(item => ({
          ...item,
          meta: { project_path: item.name, project_id: 7, root_namespace_id: 1 }
        })),
        jti: randomUUID(),
        aud: SERVICE,
        iss: 'omnibus-gitlab-issuer',
        iat: at,
        nbf: at - 5,
        exp: at + 300,
        auth_type: 'gitlab_or_ldap',
        ...(user !== undefined && { sub: user }),
        ...more
      }
      return sign(header, claims, key)
    }
  }
}

/** Harbor: its newer versions name no key, have the audience in a list, and actions that no registry has. */
const harbor: Make = (folder, now) => {
  const { key, certFile } = selfSigned(folder)
  const header = { typ: 'JWT', alg: 'RS256' }
  return {
    settings: settingsOf('harbor-token-issuer', { rootCertsFile: certFile }),
    key,
    header,
    now,
    token(user, access, more) {
      const at = seconds(now())
      const wider = access.map(item => ({ ...item, actions: [...item.actions, 'scanner-pull'] }))
      const times = { exp: at + 1800, nbf: at, iat: at, jti: 'x0CZa6MRCrQ3yLpT' }
      const claims = { iss: 'harbor-token-issuer', sub: user ?? '', aud: [SERVICE], ...times, access: wider, ...more }
      return sign(header, claims, key)
    }
  }
}

/** Keycloak: a JWK set in which the key has another name than in the tokens, beside one for encryption. */
const keycloak: Make = (folder, now) => {
  mkdirSync(folder, { recursive: true })
  const [{ privateKey: key, publicKey }, { publicKey: other }] = [0, 1].map(() =>
    generateKeyPairSync('rsa', { modulusLength: 2048 })
  ) as [ReturnType<typeof rsaPair>, ReturnType<typeof rsaPair>]
  const header = { alg: 'RS256', typ: 'JWT', kid: libtrustId(publicKey) }
  const jwks = join(folder, 'certs.json')
  const keys = [
    { ...other.export({ format: 'jwk' }), kid: 'for-encryption', alg: 'RSA-OAEP', use: 'enc' },
    {
      ...publicKey.export({ format: 'jwk' }),
      kid: 'FJ86GcF3jTbNLOco4NvZkUCIUmfYCqoqtOQeMfbhNlE',
      alg: 'RS256',
      use: 'sig'
    }
  ]
  writeFileSync(jwks, JSON.stringify({ keys }))
  const iss = 'https://sso.example.com/realms/acme'
  return {
    settings: settingsOf(iss, { jwks }),
    key,
    header,
    now,
    token(user, access, more) {
      const at = seconds(now())
      const times = { exp: at + 300, nbf: at, iat: at, jti: randomUUID() }
      return sign(header, { ...times, iss, aud: SERVICE, sub: user ?? '', azp: SERVICE, access, ...more }, key)
    }
  }
}

const rsaPair = () => generateKeyPairSync('rsa', { modulusLength: 2048 })

/** As Distribution has it from of old: the signer's certificate is in the token, and who issued it is trusted. */
const certified: Make = (folder, now) => {
  const authority = createAuthority(folder)
  const { key: pem, cert } = authority.issue('signer')
  const key = createPrivateKey(pem)
  const x5c = [cert.toString().replace(/-----[A-Z ]+-----|\s/g, '')]
  const header = { typ: 'JWT', alg: 'ES256', x5c }
  return {
    settings: settingsOf('certified', { rootCertsFile: authority.caFile }),
    key,
    header,
    now,
    token(user, access, more) {
      const at = seconds(now())
      const times = { exp: at + 300, nbf: at, iat: at }
      return sign(header, { iss: 'certified', aud: SERVICE, sub: user ?? '', ...times, access, ...more }, key)
    }
  }
}

export const issuers = { docker_auth: dockerAuth, GitLab: gitlab, Harbor: harbor, Keycloak: keycloak, certified }
