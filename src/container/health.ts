/** The health check of a container, which has neither curl nor a shell: exits with 0 if the registry answers. */
import { type IncomingMessage, request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { loadConfig } from '../config.ts'

const SECONDS = 5

const { host, port, tls } = loadConfig(process.env)
const everywhere = host === '::' || host === '0.0.0.0'
const asked = { host: everywhere ? '127.0.0.1' : host, port, path: '/livez', timeout: SECONDS * 1000 }
const look = ({ statusCode = 0 }: IncomingMessage) => end(statusCode < 500 ? undefined : `it answers ${statusCode}`)
// The certificate is for the name that clients use, which this connection does not.
const asking = tls ? requestHttps({ ...asked, rejectUnauthorized: false }, look) : requestHttp(asked, look)
asking.on('timeout', () => end(`no answer within ${SECONDS} s`))
asking.on('error', error => end(error.message))
asking.end()

function end(problem: string | undefined): void {
  if (problem) console.error(problem)
  process.exit(problem ? 1 : 0)
}
