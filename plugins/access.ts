import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import fp from 'fastify-plugin'
import type { Action, Caller, Credentials, Proof, RepositoryAction } from '../src/access/caller.ts'
import type { PasswordCheck } from '../src/access/passwords.ts'
import { scopeFor, scopeText } from '../src/access/scope.ts'
import type { IssuedToken } from '../src/access/token-issuer.ts'
import type { AccessSettings } from '../src/config/access.ts'
import { addressOf } from '../src/http/address.ts'
import { parseAuthorization } from '../src/http/authorization.ts'
import { certificateUser } from '../src/http/certificate.ts'
import { BASIC_CHALLENGE, bearerChallenge } from '../src/http/challenge.ts'
import type { EndpointParams } from '../src/http/endpoints.ts'
import { forwardedPrefix, isProxyTrusted, originOf } from '../src/http/forwarded.ts'
import type { Links } from '../src/http/links.ts'
import { RegistryError } from '../src/registry/errors.ts'
import { isRepository, parseRepository } from '../src/registry/names.ts'
import { createRobots } from '../src/registry/robots.ts'
import { createSharedSecrets } from '../src/registry/shared-secrets.ts'
import { StorageError } from '../src/storage/driver.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What the route lets its caller do. Every route of the API has one. */
    action?: Action
    /** Whether it is where passwords are turned into tokens. */
    logsIn?: boolean
  }
  interface FastifyRequest {
    /** Who sends it, as far as access control has found out; undefined where there is none. */
    caller: Caller | undefined
    /** The user whose credentials turned out wrong, where there is such a user. */
    claimedUser: string | undefined
    /** Whether the caller may do this in a repository. */
    may(action: RepositoryAction, repository: string): boolean | Promise<boolean>
    /** Tells of a repository whether the caller may pull it; undefined: they may pull all. */
    readable(): ((repository: string) => boolean | Promise<boolean>) | undefined
  }
  interface FastifyInstance {
    /** There where this registry issues tokens. */
    issueToken?: IssueToken
  }
}

export interface TokenWish {
  scopes: readonly string[]
  /** Whether a refresh token is wanted as well. */
  offline: boolean
  /** What is in the request's body. */
  proof?: Credentials | { refreshToken: string } | undefined
}

/** A token for whoever sends a request, or who is told in its body. Throws `unauthorized`. */
export type IssueToken = (request: FastifyRequest, reply: FastifyReply, wish: TokenWish) => Promise<IssuedToken>

export interface AccessPluginOptions {
  /** Undefined: everybody may do everything, and requests pass no check at all. */
  access: AccessSettings | undefined
  /** Where tokens are issued; undefined: they are taken, and passwords asked for. */
  links?: Pick<Links, 'token' | 'isAbsolute'>
  /** Whether nothing may be written. Default false. */
  readOnly?: boolean
  /** ms since 1970. */
  now?: (() => number) | undefined
  /** A monotonic clock, in ms. */
  steady?: (() => number) | undefined
  /** Told what came of each look at a password. */
  passwordChecked?: ((result: PasswordCheck) => void) | undefined
}

/** Loaded when it is wanted: without users nobody needs bcrypt. It stands out here as `loadS3` does, for the same reason. */
const loadOpenAccess = async () => (await import('../src/access/open.ts')).openAccess

/**
 * Asks of every request who sends it and whether they may, before its body: a refused push sends none. A route that does
 * not say what it lets its caller do fails at the start.
 */
async function accessControl(app: FastifyInstance, options: AccessPluginOptions): Promise<void> {
  const { access: settings, readOnly = false, now = Date.now, passwordChecked } = options
  const { steady = () => performance.now() } = options
  app.addHook('onRoute', requireAction)
  app.decorateRequest('caller', undefined)
  app.decorateRequest('claimedUser', undefined)
  if (settings === undefined) {
    app.decorateRequest('may', () => true)
    app.decorateRequest('readable', () => undefined)
    return
  }
  const openAccess = await loadOpenAccess()
  const needed: NeededSecrets[] = []
  const sharedKeys = (make: () => Buffer, usedFor: number) => {
    const look = createSharedSecrets({ storage: app.storage, make, usedFor, steady })
    needed.push({ what: 'the keys of tokens (AUTH_TOKEN_ISSUER=self)', look })
    return look
  }
  const robots = () => {
    const found = createRobots(app.storage)
    needed.push({ what: 'the records of robots (AUTH_ROBOT_TOKENS)', look: found.tokenHashes })
    return found
  }
  const access = await openAccess(settings, {
    log: app.log,
    robots,
    readOnly,
    sharedKeys,
    now,
    steady,
    passwordChecked
  })
  app.addHook('onClose', async () => access.close())
  if (readOnly) {
    await checkSecrets(needed).catch(error => {
      access.close()
      throw error
    })
  }

  app.decorateRequest('may', function (this: FastifyRequest, action: RepositoryAction, repository: string) {
    return access.may(this.caller!, action, repository)
  })
  app.decorateRequest('readable', function (this: FastifyRequest) {
    return access.readable(this.caller!, this.routeOptions.config.action === 'catalog')
  })
  const identify = async (request: FastifyRequest, proof: Proof | undefined, certified?: Caller): Promise<Caller> => {
    if (proof && 'user' in proof && access.knows(proof.user)) request.claimedUser = proof.user
    return (request.caller = await access.identify(proof, certified, () => addressOf(request)))
  }
  if (settings.tokens?.byDefault && options.links && !options.links.isAbsolute) {
    app.log.info(
      {},
      'AUTH_TOKEN_ISSUER is not set: clients get tokens, so that docker pulls without a login, where they come by HTTPS or to ' +
        'this port; with EXTERNAL_URL they get them behind any proxy'
    )
  }
  const { issue } = access
  if (issue) {
    const callerOf = async (request: FastifyRequest, proof: TokenWish['proof']): Promise<Caller> => {
      if (!proof) return request.caller!
      if ('user' in proof) return identify(request, proof)
      return (request.caller = await access.redeem(proof.refreshToken))
    }
    const issueToken: IssueToken = (request, reply, { scopes, offline, proof }) =>
      challenged(request, reply, options, async () => issue(await callerOf(request, proof), scopes, offline))
    app.decorate('issueToken', issueToken)
  }
  app.addHook('onRequest', async (request: FastifyRequest, reply: FastifyReply) => {
    if (request.is404) return
    await challenged(request, reply, options, async () => {
      const certified = settings.certificates ? certificateUser(request.raw.socket, now()) : undefined
      const caller = await identify(request, parseAuthorization(request.headers.authorization), certified)
      access.check(caller, request.routeOptions.config.action!, repositoryOf(request))
      const source = mountedFrom(request)
      if (source !== undefined) access.checkMount(caller, source)
    })
  })
}

export default fp(accessControl, { name: 'access', dependencies: ['oci-routing'], fastify: '5.x' })

/** Secrets in the store without which logins fail. */
interface NeededSecrets {
  what: string
  look: () => Promise<unknown>
}

/**
 * A read-only server may run as another user than the owner of the folder, or on a mount where no keys can be made. Then
 * the start fails, rather than each login.
 */
async function checkSecrets(needed: readonly NeededSecrets[]): Promise<void> {
  for (const { what, look } of needed) {
    try {
      await look()
    } catch (error) {
      if (!(error instanceof StorageError)) throw error
      const remedy = 'run as the owner of the folder, start once without READ_ONLY to make them, or turn them off'
      const message = `${what} can't be read or made in system/ (${error.message}): ${remedy}.`
      throw new StorageError(error.fault, message, { cause: error })
    }
  }
}

/** For `onRoute`. */
export function requireAction({ method, url, config }: RouteOptions): void {
  if (config?.action !== undefined) return
  throw new Error(`${method} ${config?.path ?? url} does not say what it lets its caller do: it needs a config.action`)
}

/** '' where none is concerned. Throws `name-invalid`: rules are asked about what can be a repository alone. */
function repositoryOf({ params }: FastifyRequest): string {
  const { name } = params as Partial<EndpointParams>
  return name === undefined ? '' : parseRepository(name)
}

/** Where work fails for want of a login, the answer says how to log in. */
async function challenged<T>(
  request: FastifyRequest,
  reply: FastifyReply,
  options: AccessPluginOptions,
  work: () => Promise<T>
): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof RegistryError && error.kind === 'unauthorized') {
      reply.header('www-authenticate', challengeOf(request, error, options))
    }
    throw error
  }
}

/**
 * How a client may log in. With tokens only they are offered, though passwords are taken as well: of two challenges some
 * clients follow the first and others the last. Where tokens are issued, a password is what it takes.
 */
function challengeOf(request: FastifyRequest, { details }: RegistryError, options: AccessPluginOptions): string {
  const { access, links } = options
  const { action = 'open' } = request.routeOptions.config
  if (!access?.tokens || !links || action === 'open') return BASIC_CHALLENGE
  const origin = originOf(request)
  if (access.tokens.byDefault && !links.isAbsolute && !reachesUs(request, origin)) return BASIC_CHALLENGE
  const own = origin === undefined ? undefined : links.token(origin, forwardedPrefix(request))
  const { service, realm = own } = access.tokens
  // A client of HTTP/1.0 that names no host can't be told where tokens are.
  if (realm === undefined) return BASIC_CHALLENGE
  const { reason } = details[0] ?? {}
  return bearerChallenge({
    realm,
    service,
    scopes: scopesOf(request, action),
    error: reason === undefined ? undefined : String(reason)
  })
}

/**
 * Whether clients would find us at the address that a request came to. Behind a proxy that is not trusted they might not, or
 * their passwords would go over plain HTTP; where nobody has asked for tokens, they are then asked for a password as before.
 */
function reachesUs(request: FastifyRequest, origin = ''): boolean {
  const { headers, raw } = request
  if (origin.startsWith('https:')) return true
  if (headers['x-forwarded-proto'] !== undefined && isProxyTrusted(request)) return origin !== ''
  if (PROXIED.some(name => headers[name] !== undefined) || raw.httpVersion !== '1.1') return false
  const port = /:(\d+)$/.exec(origin)?.[1] ?? '80'
  return Number(port) === raw.socket.localPort
}

/** What proxies add to requests. */
const PROXIED = ['x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host', 'x-real-ip', 'forwarded', 'via']

/** What a token has to grant for a request; for a mount, reading its source as well. */
function scopesOf(request: FastifyRequest, action: Action): string[] {
  const { name: repository = '' } = request.params as Partial<EndpointParams>
  const source = mountedFrom(request)
  return [scopeFor(action, repository), source === undefined ? undefined : scopeFor('pull', source)].flatMap(scope =>
    scope && (scope.type !== 'repository' || isRepository(scope.name)) ? scopeText(scope) : []
  )
}

/** The repository that a request wants to mount a blob from; undefined: none. */
function mountedFrom({ query, routeOptions }: FastifyRequest): string | undefined {
  if (routeOptions.config.oci?.endpoint !== 'uploads') return undefined
  const { mount, from } = query as Record<string, unknown>
  return mount && typeof from === 'string' && isRepository(from) ? from : undefined
}
