import type { Answer, Send } from './client.ts'
import { keepSecret } from './secrets.ts'

export interface Challenge {
  realm: string
  service: string
  scope?: string
  error?: string
}

/** What an answer says of the tokens that it wants; undefined: it wants none. */
export function challengeIn({ headers }: Answer): Challenge | undefined {
  const [, parts] = /^Bearer (.+)$/.exec(headers['www-authenticate'] ?? '') ?? []
  if (parts === undefined) return undefined
  return Object.fromEntries([...parts.matchAll(/(\w+)="([^"]*)"/g)].map(([, name, value]) => [name, value]))
}

/**
 * Sends as docker does: what is refused for want of a token is sent again with one for just that, which is kept for the
 * next time that the same is wanted.
 *
 * @param fetchToken gets a token for a challenge
 */
export function withTokens(send: Send, fetchToken: (challenge: Challenge) => Promise<string>): Send {
  let last: string | undefined
  return async (method, path, sending = {}) => {
    const go = (token: string | undefined) =>
      send(method, path, {
        ...sending,
        headers: { ...sending.headers, ...(token !== undefined && { authorization: `Bearer ${token}` }) }
      })
    const answer = await go(last)
    const challenge = answer.status === 401 ? challengeIn(answer) : undefined
    if (!challenge) return answer
    last = await fetchToken(challenge)
    keepSecret(last)
    return go(last)
  }
}
