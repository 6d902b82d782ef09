// An app whose own login decides who may use the registry: people by the session of their browser, and docker, which has
// none, by a token that the app shows to whoever has logged in.
import { randomBytes, timingSafeEqual } from 'node:crypto'
import cookie from '@fastify/cookie'
import session from '@fastify/session'
import Fastify from 'fastify'
import marina from 'marina-distribution'

/**
 * @param {import('marina-distribution').MarinaOptions['storage']} storage
 * @param {(user: string, password: string) => Promise<boolean>} checkPassword the app's own
 */
export async function buildApp(storage, checkPassword) {
  const app = Fastify()
  /** @type {Map<string, string>} the token of each user; an app that is more than an example keeps a hash in its database */
  const tokens = new Map()

  // Before the registry, so that a request has its session when the registry asks.
  await app.register(cookie)
  await app.register(session, { secret: randomBytes(32).toString('hex'), cookie: { secure: 'auto' } })

  app.post('/login', async (request, reply) => {
    const { user, password } = /** @type {{ user: string, password: string }} */ (request.body)
    if (!(await checkPassword(user, password))) return reply.code(401).send({ error: 'wrong user or password' })
    await request.session.regenerate()
    request.session.set('user', user)
    return { user }
  })
  app.post('/token', async (request, reply) => {
    const user = request.session.get('user')
    if (user === undefined) return reply.code(401).send({ error: 'log in first' })
    tokens.set(user, randomBytes(32).toString('base64url'))
    return { login: `docker login --username ${user}`, password: tokens.get(user) }
  })

  await app.register(marina, {
    storage,
    authorize(request, { name, repository }) {
      const user = request.session.get('user') ?? userOfToken(request.headers.authorization)
      if (user === undefined) return 'login'
      // Everybody pulls; each pushes and deletes below their own name.
      const own = name === 'pull' || repository === undefined || repository.startsWith(`${user}/`)
      return own && { user }
    }
  })

  /** @param {string | undefined} header */
  function userOfToken(header = '') {
    const [scheme, credentials = ''] = header.split(' ')
    if (scheme?.toLowerCase() !== 'basic') return undefined
    const [user = '', given = ''] = Buffer.from(credentials, 'base64').toString().split(':')
    const [token, sent] = [Buffer.from(tokens.get(user) ?? ''), Buffer.from(given)]
    return token.length > 0 && token.length === sent.length && timingSafeEqual(token, sent) ? user : undefined
  }

  return app
}
