import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import fp from 'fastify-plugin'
import type { Action, Caller, RepositoryAction } from '../src/access/caller.ts'
import type { PasswordCheck } from '../src/access/passwords.ts'
import type { AccessSettings } from '../src/config/access.ts'
import { addressOf } from '../src/http/address.ts'
import { parseBasic } from '../src/http/authorization.ts'
import { certificateUser } from '../src/http/certificate.ts'
import type { EndpointParams } from '../src/http/endpoints.ts'
import { RegistryError } from '../src/registry/errors.ts'
import { createRobots } from '../src/registry/robots.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What the route lets its caller do. Every route of the API has one. */
    action?: Action
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
}

export interface AccessPluginOptions {
  /** Undefined: everybody may do everything, and requests pass no check at all. */
  access: AccessSettings | undefined
  /** Whether nothing may be written. Default false. */
  readOnly?: boolean
  /** ms since 1970. */
  now?: (() => number) | undefined
  /** Told what came of each look at a password. */
  passwordChecked?: ((result: PasswordCheck) => void) | undefined
}

const BASIC = 'Basic realm="registry", charset="UTF-8"'

/** Loaded when it is wanted: without users nobody needs bcrypt. It stands out here as `loadS3` does, for the same reason. */
const loadOpenAccess = async () => (await import('../src/access/open.ts')).openAccess

/**
 * Asks of every request who sends it and whether they may, before its body: a refused push sends none. A route that does
 * not say what it lets its caller do fails at the start.
 */
async function accessControl(app: FastifyInstance, options: AccessPluginOptions): Promise<void> {
  const { access: settings, readOnly = false, now, passwordChecked } = options
  app.addHook('onRoute', requireAction)
  app.decorateRequest('caller', undefined)
  app.decorateRequest('claimedUser', undefined)
  if (settings === undefined) {
    app.decorateRequest('may', () => true)
    app.decorateRequest('readable', () => undefined)
    return
  }
  const openAccess = await loadOpenAccess()
  const robots = () => createRobots(app.storage)
  const access = openAccess(settings, { log: app.log, robots, readOnly, now, passwordChecked })
  app.addHook('onClose', async () => access.close())

  app.decorateRequest('may', function (this: FastifyRequest, action: RepositoryAction, repository: string) {
    return access.may(this.caller!, action, repository)
  })
  app.decorateRequest('readable', function (this: FastifyRequest) {
    return access.readable(this.caller!)
  })
  app.addHook('onRequest', async (request: FastifyRequest, reply: FastifyReply) => {
    if (request.is404) return
    try {
      const certified = settings.certificates ? certificateUser(request.raw.socket) : undefined
      const credentials = parseBasic(request.headers.authorization)
      if (credentials && access.knows(credentials.user)) request.claimedUser = credentials.user
      request.caller = await access.identify(credentials, certified, () => addressOf(request))
      access.check(request.caller, request.routeOptions.config.action!, repositoryOf(request))
    } catch (error) {
      if (error instanceof RegistryError && error.kind === 'unauthorized') reply.header('www-authenticate', BASIC)
      throw error
    }
  })
}

export default fp(accessControl, { name: 'access', dependencies: ['oci-routing'], fastify: '5.x' })

/** For `onRoute`. */
export function requireAction({ method, url, config }: RouteOptions): void {
  if (config?.action !== undefined) return
  throw new Error(`${method} ${config?.path ?? url} does not say what it lets its caller do: it needs a config.action`)
}

/** As the URL has it, which need not be a repository's name: the route looks at that. '' where none is concerned. */
function repositoryOf({ params }: FastifyRequest): string {
  return (params as Partial<EndpointParams>).name ?? ''
}
