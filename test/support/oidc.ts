import { generateKeyPairSync, randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { JWTPayload } from 'jose'
import { sign } from './issuers.ts'

/** An issuer of ID tokens on loopback, which tells its keys as OpenID Connect has it. */
export interface IdIssuer {
  url: string
  /** An ID token as a CI job gets it. */
  token(claims: JWTPayload): Promise<string>
  /** From here on it signs with another key. */
  rotate(): void
  /** What its documents say instead; undefined: they say what is true. */
  lies: { issuer?: string; jwks_uri?: string; status?: number }
  /** The paths that were asked for. */
  asked: string[]
  close(): void
}

export async function openIdIssuer(now: () => number = Date.now): Promise<IdIssuer> {
  const makeKey = () => ({ kid: randomUUID(), ...generateKeyPairSync('rsa', { modulusLength: 2048 }) })
  let key = makeKey()
  const server = createServer((request, response) => {
    issuer.asked.push(request.url!)
    const { status = 200, ...told } = issuer.lies
    response.writeHead(status, { 'content-type': 'application/json' })
    if (request.url === '/.well-known/openid-configuration') {
      response.end(JSON.stringify({ issuer: issuer.url, jwks_uri: `${issuer.url}/keys`, ...told }))
    } else {
      const jwk = { ...key.publicKey.export({ format: 'jwk' }), kid: key.kid, alg: 'RS256', use: 'sig' }
      response.end(JSON.stringify({ keys: [jwk] }))
    }
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const issuer: IdIssuer = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    lies: {},
    asked: [],
    token: claims => {
      const at = Math.floor(now() / 1000)
      const times = { iat: at, nbf: at - 5, exp: at + 300, jti: randomUUID() }
      return sign({ typ: 'JWT', alg: 'RS256', kid: key.kid }, { iss: issuer.url, ...times, ...claims }, key.privateKey)
    },
    rotate: () => {
      key = makeKey()
    },
    close: () => {
      server.closeAllConnections()
      server.close()
    }
  }
  return issuer
}

/** What a job's ID token says on GitHub Actions, GitLab and in Kubernetes; the values are made up. */
export const jobs = {
  github: {
    aud: 'registry.example.com',
    sub: 'repo:acme/app:ref:refs/heads/main',
    repository: 'acme/app',
    repository_owner: 'acme',
    ref: 'refs/heads/main',
    actor: 'octocat',
    workflow: 'release',
    run_id: '1234'
  },
  gitlab: {
    aud: 'registry.example.com',
    sub: 'project_path:acme/app:ref_type:branch:ref:main',
    project_path: 'acme/app',
    namespace_path: 'acme',
    ref: 'main',
    ref_protected: 'true',
    user_login: 'alice',
    groups_direct: ['acme', 'acme/ops']
  },
  kubernetes: {
    aud: ['registry.example.com'],
    sub: 'system:serviceaccount:build:pusher',
    'kubernetes.io': { namespace: 'build', serviceaccount: { name: 'pusher', uid: '7f1b' } }
  }
} satisfies Record<string, JWTPayload>
