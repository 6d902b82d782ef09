/** The health check of a container, which has neither curl nor a shell: exits with 0 if the registry answers. */
import { request } from 'node:http'
import { loadConfig } from '../config.ts'

const SECONDS = 5

const { host, port } = loadConfig(process.env)
const everywhere = host === '::' || host === '0.0.0.0'
const asking = request({ host: everywhere ? '127.0.0.1' : host, port, path: '/v2/', timeout: SECONDS * 1000 }, answer =>
  end(answer.statusCode! < 500 ? undefined : `it answers ${answer.statusCode}`)
)
asking.on('timeout', () => end(`no answer within ${SECONDS} s`))
asking.on('error', error => end(error.message))
asking.end()

function end(problem: string | undefined): void {
  if (problem) console.error(problem)
  process.exit(problem ? 1 : 0)
}
