import {
  type FastifyBaseLogger,
  type FastifyReply,
  type FastifyRequest,
  type FastifyServerOptions,
  LogController
} from 'fastify'
import type { Config } from './config.ts'
import { traceIdOf } from './http/request-id.ts'

/**
 * Fastify's `logger` option. `auto` looks at the terminal and not at NODE_ENV: lines for people where a person
 * watches, JSON lines for whatever collects them everywhere else. pino-pretty is loaded only when it is used.
 */
export function loggerOptions(config: Pick<Config, 'logLevel' | 'logFormat'>): FastifyServerOptions['logger'] {
  const pretty = config.logFormat === 'pretty' || (config.logFormat === 'auto' && process.stdout.isTTY)
  if (!pretty) return { level: config.logLevel }
  const options = { translateTime: 'HH:MM:ss.l', ignore: 'pid,hostname', colorize: process.stdout.isTTY }
  return { level: config.logLevel, transport: { target: 'pino-pretty', options } }
}

/** Fastify's option `childLoggerFactory`: every line about a request tells the trace that its client says it is a part of. */
export const requestLogger: NonNullable<FastifyServerOptions['childLoggerFactory']> = (
  logger,
  bindings,
  options,
  { headers }
) =>
  new LateLogger(() => {
    const traceId = traceIdOf(headers)
    return logger.child(traceId === undefined ? bindings : { ...bindings, trace_id: traceId }, options)
  })

type Line = Parameters<FastifyBaseLogger['info']>

/** A logger that is made when it is first asked for something: most requests write no line. */
class LateLogger implements FastifyBaseLogger {
  private readonly make: () => FastifyBaseLogger
  private made: FastifyBaseLogger | undefined
  constructor(make: () => FastifyBaseLogger) {
    this.make = make
  }

  private get logger(): FastifyBaseLogger {
    this.made ??= this.make()
    return this.made
  }
  get level(): string {
    return this.logger.level
  }
  child(...of: Parameters<FastifyBaseLogger['child']>): FastifyBaseLogger {
    return this.logger.child(...of)
  }
  fatal(...line: Line): void {
    this.logger.fatal(...line)
  }
  error(...line: Line): void {
    this.logger.error(...line)
  }
  warn(...line: Line): void {
    this.logger.warn(...line)
  }
  info(...line: Line): void {
    this.logger.info(...line)
  }
  debug(...line: Line): void {
    this.logger.debug(...line)
  }
  trace(...line: Line): void {
    this.logger.trace(...line)
  }
  silent(...line: Line): void {
    this.logger.silent(...line)
  }
}

/**
 * Logs each request in one line when it has been answered, where Fastify has two: a line takes 40 % of the
 * time of a small answer. What goes wrong inside is logged whatever is chosen here.
 *
 * @param config `errors`: those with a status from 400 up. Nothing is made ready for a log that takes none of it.
 */
export function requestLog({ logRequests, logLevel }: Pick<Config, 'logRequests' | 'logLevel'>): LogController {
  return new RequestLog(['trace', 'debug', 'info'].includes(logLevel) ? logRequests : 'none')
}

class RequestLog extends LogController {
  private readonly which: Config['logRequests']
  constructor(which: Config['logRequests']) {
    super()
    this.which = which
  }

  override incomingRequest(): void {}

  override requestCompleted(error: Error | null | undefined, request: FastifyRequest, reply: FastifyReply): void {
    if (this.which === 'none' || (this.which === 'errors' && !error && reply.statusCode < 400)) return
    const fields = { req: request, res: reply, responseTime: reply.elapsedTime }
    request.log.info(error ? { ...fields, err: error } : fields, 'request completed')
  }
}
