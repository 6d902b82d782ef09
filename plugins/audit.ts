import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { type AuditEvent, auditEventOf } from '../src/http/audit.ts'

/**
 * Logs each write, denial and login in a line of its own, which has `audit: true`. At every log level but `silent`: who
 * turns down the rest of the log still wants to know who deleted what. Register it before the routes.
 */
async function audit(app: FastifyInstance): Promise<void> {
  const level = app.log.level === 'silent' ? 'silent' : 'info'
  const log = app.log.child({ audit: true }, { level })
  const note = (
    request: FastifyRequest,
    reply: FastifyReply,
    wanted: (event: AuditEvent) => boolean,
    ip = request.ip
  ): void => {
    const event = auditEventOf(request, reply, ip)
    if (event && wanted(event)) log.info({ reqId: request.id, ...event }, 'audit')
  }
  // A write is done when its handler is, and not when it has been answered: the client may be gone by then.
  app.addHook('onRoute', route => {
    const { handler, config } = route
    if (config?.action !== 'push' && config?.action !== 'delete') return
    route.handler = async function (this: FastifyInstance, request, reply) {
      const { ip } = request // a connection that is gone has none
      const payload: unknown = await handler.call(this, request, reply)
      note(request, reply, isWriteDone, ip)
      return payload
    }
  })
  app.addHook('onSend', (request, reply, _payload, done) => {
    note(request, reply, event => !isWriteDone(event))
    done()
  })
}

const isWriteDone = ({ event, outcome }: AuditEvent): boolean => outcome === 'done' && event !== 'login'

export default fp(audit, { name: 'audit', dependencies: ['oci-routing', 'access'], fastify: '5.x' })
