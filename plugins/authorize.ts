import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { RepositoryAction } from '../src/access/caller.ts'
import type { EndpointParams } from '../src/http/endpoints.ts'
import { RegistryError } from '../src/registry/errors.ts'
import { parseRepository } from '../src/registry/names.ts'
import { requireAction } from './access.ts'

/**
 * What a request wants to do: `pull`, `push` and `delete` in a repository; `login` is to be known at all, `catalog` to see
 * the list of repositories, of which each is then asked for as a `pull`.
 */
export type RequestedAction =
  | { name: RepositoryAction; repository: string }
  | { name: 'login' | 'catalog'; repository?: undefined }

/**
 * Whether it may. `'login'` is no, and tells the client to log in with a user and a password; an object is yes, and names
 * the user for events and the audit log.
 */
export type Verdict = boolean | 'login' | { user: string }

/** Decides for the host's own reasons, such as its session. What it throws is answered as a fault of the server. */
export type Authorize = (request: FastifyRequest, action: RequestedAction) => Verdict | Promise<Verdict>

const BASIC = 'Basic realm="registry", charset="UTF-8"'

/** Access control by the embedder, before a request's body. In place of `access`, and under its name. */
export default fp<{ authorize: Authorize }>(
  async (app: FastifyInstance, { authorize }) => {
    app.addHook('onRoute', requireAction)
    app.decorateRequest('caller', undefined)
    app.decorateRequest('claimedUser', undefined)
    const may = async (request: FastifyRequest, name: RepositoryAction, repository: string): Promise<boolean> =>
      isYes(await authorize(request, { name, repository }))
    app.decorateRequest('may', function (this: FastifyRequest, action: RepositoryAction, repository: string) {
      return may(this, action, repository)
    })
    app.decorateRequest('readable', function (this: FastifyRequest) {
      return (repository: string) => may(this, 'pull', repository)
    })
    app.addHook('onRequest', async (request: FastifyRequest, reply: FastifyReply) => {
      if (request.is404) return
      const action = requestedAction(request)
      if (!action) return
      const verdict = await authorize(request, action)
      if (typeof verdict === 'object' && verdict) request.caller = { user: verdict.user }
      if (isYes(verdict)) return
      if (verdict === 'login') reply.header('www-authenticate', BASIC)
      throw new RegistryError(verdict === 'login' ? 'unauthorized' : 'denied')
    })
  },
  { name: 'access', dependencies: ['oci-routing'], fastify: '5.x' }
)

/** Anything but what says yes is a no, whatever a host without types returns. */
function isYes(verdict: Verdict): boolean {
  return verdict === true || (typeof verdict === 'object' && typeof verdict?.user === 'string')
}

/** Undefined: a route for everybody. Throws `name-invalid`: no host is asked about what can't be a repository. */
function requestedAction({ routeOptions, params }: FastifyRequest): RequestedAction | undefined {
  const name = routeOptions.config.action!
  if (name === 'open') return undefined
  if (name === 'login' || name === 'catalog') return { name }
  return { name, repository: parseRepository((params as EndpointParams).name) }
}
