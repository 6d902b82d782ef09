import {
  type FastifyBaseLogger,
  type FastifyReply,
  type FastifyRequest,
  type FastifyServerOptions,
  LogController
} from 'fastify'
import type { Config } from './config.ts'
import { bytesReceived, bytesSent } from './http/body-bytes.ts'
import { traceIdOf } from './http/request-id.ts'
import { shownHost, shownPath, shownUrl } from './http/shown-url.ts'
import { bytesText } from './units.ts'

type LogFormat = Pick<Config, 'logLevel' | 'logFormat'>

/** `auto` asks the terminal and not NODE_ENV: lines for people where a person watches, JSON lines everywhere else. */
export const isPretty = ({ logFormat }: Pick<Config, 'logFormat'>): boolean =>
  logFormat === 'pretty' || (logFormat === 'auto' && process.stdout.isTTY)

/** Fastify's `logger` option. pino-pretty is loaded only when it is used. */
export function loggerOptions(config: LogFormat): FastifyServerOptions['logger'] {
  if (!isPretty(config)) return jsonOptions(config)
  const options = {
    translateTime: 'SYS:HH:MM:ss.l',
    ignore: 'pid,hostname',
    singleLine: true,
    colorize: process.stdout.isTTY
  }
  return { level: config.logLevel, transport: { target: 'pino-pretty', options } }
}

/** The same for JSON lines, whose time is one that people can read too. */
export function jsonOptions({ logLevel }: Pick<Config, 'logLevel'>) {
  return {
    level: logLevel,
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    serializers: { req: describeRequest }
  }
}

/** Most characters of a client's User-Agent that a line repeats. */
const USER_AGENT_CHARS = 256

function describeRequest({ method, url, host, ip, socket, headers }: FastifyRequest) {
  const userAgent = headers['user-agent']?.slice(0, USER_AGENT_CHARS)
  const shown = { url: shownUrl(url), host: host && shownHost(host) }
  return { method, ...shown, remoteAddress: ip, remotePort: socket?.remotePort, userAgent }
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
 * Logs each request in one line when it is over, where Fastify logs two: a line costs 40 % of the time of a small answer.
 * Faults of the server are logged whatever is chosen here.
 *
 * @param config `errors`: requests with a status of 400 and above, except those that every push causes. Where no request
 *   is logged, nothing is prepared for it.
 * @param pretty whether people read it: the line is a sentence then, and not fields
 */
export function requestLog(config: Pick<Config, 'logRequests' | 'logLevel'>, pretty = false): LogController {
  const { logRequests, logLevel } = config
  return new RequestLog(['trace', 'debug', 'info'].includes(logLevel) ? logRequests : 'none', pretty)
}

/** The status of a request whose connection broke before its answer was sent, as nginx logs it. */
const GONE = 499

class RequestLog extends LogController {
  private readonly which: Config['logRequests']
  private readonly pretty: boolean
  constructor(which: Config['logRequests'], pretty: boolean) {
    super()
    this.which = which
    this.pretty = pretty
  }

  /** Fastify's `requestCompleted` misses requests whose connection broke, and those whose URL is malformed. */
  override incomingRequest(request: FastifyRequest, reply: FastifyReply): void {
    if (this.which === 'none') return
    const { raw } = reply
    // A response that was sent whole has given its socket back by now.
    const isSent = (): boolean => raw.writableEnded && !raw.socket?.destroyed
    raw.once('close', () => this.log(request, reply, isSent() ? reply.statusCode : GONE))
  }

  override requestCompleted(): void {}

  private log(request: FastifyRequest, reply: FastifyReply, statusCode: number): void {
    if (this.which === 'errors' && (statusCode < 400 || isExpected(request, statusCode))) return
    const fields = {
      req: request,
      res: { statusCode },
      user: request.caller?.user,
      bytesIn: bytesReceived(request.raw),
      bytesOut: bytesSent(reply.raw, reply.getHeader('content-length')),
      responseTime: Math.round(reply.elapsedTime * 10) / 10
    }
    if (this.pretty) request.log.info(sentence(fields))
    else request.log.info(fields, 'request completed')
  }
}

/**
 * Refusals that belong to every push and pull: clients ask for what is not there yet before they push it, and most send
 * their first request without credentials, to learn how to log in.
 */
function isExpected({ method, headers, routeOptions }: FastifyRequest, statusCode: number): boolean {
  if (statusCode === 401) return headers.authorization === undefined
  const endpoint = routeOptions.config?.oci?.endpoint
  return statusCode === 404 && method === 'HEAD' && (endpoint === 'blob' || endpoint === 'manifest')
}

interface RequestFields {
  req: FastifyRequest
  res: { statusCode: number }
  user: string | undefined
  bytesIn: number
  bytesOut: number
  responseTime: number
}

/** `GET /v2/app/manifests/v1 200, 1.2 KiB out, 3.4 ms, alice`. The path alone: the query of an upload is long. */
function sentence({ req, res, user, bytesIn, bytesOut, responseTime }: RequestFields): string {
  const bytes = [bytesIn > 0 && `${bytesText(bytesIn)} in`, `${bytesText(bytesOut)} out`].filter(Boolean)
  const who = user === undefined ? [] : [user]
  const head = `${req.method} ${shownPath(req.url)} ${res.statusCode}`
  // A name may come from an identity provider: it must not control the terminal.
  return [head, ...bytes, `${responseTime} ms`, ...who].join(', ').replace(/\p{Cc}/gu, '?')
}
