import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import { againText, createFaultCounts, type FaultCounts, faultKind } from '../registry/fault-log.ts'

/** The scopes of one server count together. */
const countsOfServers = new WeakMap<object, FaultCounts>()

function countsOf({ server }: FastifyInstance): FaultCounts {
  let counts = countsOfServers.get(server)
  if (!counts) {
    counts = createFaultCounts()
    countsOfServers.set(server, counts)
  }
  return counts
}

/**
 * Logs a fault that a request met. Where the store fails every request, one line in ten seconds says so.
 *
 * @param fields `err` is the fault
 * @param incident the id that this request would tell its client
 * @returns the incident that the log has for this kind of fault
 */
export function logFault(
  { log, server }: { log: FastifyBaseLogger; server: FastifyInstance },
  fields: { err: unknown },
  message: string,
  incident?: string
): string | undefined {
  const kind = faultKind(fields.err)
  const named = incident === undefined ? kind : { ...kind, incident }
  const summarize = (count: number) => server.log.error({ ...named, count }, `${message} (${againText(count)})`)
  const occurrence = countsOf(server).add(`${message} ${kind.fault} ${kind.code}`, summarize, incident)
  log[occurrence.isFirst ? 'error' : 'debug'](fields, message)
  return occurrence.incident
}

/** Logs what has been counted so far: the server closes. */
export const flushFaults = (app: FastifyInstance): void => countsOf(app).flush()
