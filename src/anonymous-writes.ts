import { isIP } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { readPolicy } from './config/access.ts'
import type { Config } from './config.ts'

/** Says in the log, once the app listens, when clients without a login may change the registry, and where they reach it. */
export function reportAnonymousWrites(app: Pick<FastifyInstance, 'log' | 'server'>, config: Config): void {
  const address = app.server.address()
  const port = typeof address === 'object' && address !== null ? address.port : config.port
  const line = anonymousWritesLine(config, port)
  if (line === undefined) return
  if (isLoopback(config.host)) app.log.info(line)
  else app.log.warn(line)
}

/** Undefined: whoever writes has logged in, or nobody may write. */
export function anonymousWritesLine(config: Config, port: number): string | undefined {
  const { access, readOnly, deleteEnabled } = config
  if (readOnly) return undefined
  const possible = deleteEnabled ? (['push', 'delete'] as const) : (['push'] as const)
  const where = placeOf(config.host, port)
  if (!access) {
    const actions = deleteEnabled ? 'pull, push and delete' : 'pull and push'
    return `there is no access control: anybody who reaches ${where} may ${actions} (docs/access.md)`
  }
  if (access.policyFile === undefined) return undefined
  const policy = readPolicy(access.policyFile)
  const allowed = possible.filter(action => policy.allowsSomewhere({}, action))
  if (allowed.length === 0) return undefined
  return `AUTH_POLICY_FILE lets anybody who reaches ${where} ${allowed.join(' and ')} in some repositories, without a login`
}

function placeOf(host: string, port: number): string {
  if (host === '::' || host === '0.0.0.0') return `port ${port} on any address of this machine`
  return isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`
}

const isLoopback = (host: string): boolean => host === 'localhost' || host === '::1' || /^127\./.test(host)
