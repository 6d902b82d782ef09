import type { FastifyServerOptions } from 'fastify'
import type { Config } from './config.ts'

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
