import { type AddressInfo, connect } from 'node:net'
import { PassThrough } from 'node:stream'
import Fastify, { type FastifyInstance, type FastifyPluginAsync } from 'fastify'
import type { Test } from 'tap'
import contentNegotiation from '../../plugins/content-negotiation.ts'
import errors, { frameworkErrors, onClientError } from '../../plugins/errors.ts'
import ociRouting from '../../plugins/oci-routing.ts'
import { handleExpectContinue } from '../../src/http/body.ts'

/** A log that can be looked into: the lines written so far, parsed. */
export function createLog() {
  const stream = new PassThrough()
  const lines: Record<string, unknown>[] = []
  stream.on('data', (chunk: Buffer) => {
    for (const line of chunk.toString().split('\n')) if (line !== '') lines.push(JSON.parse(line))
  })
  return { stream, lines }
}

/** An app with the edge's plugins in one scope under `/v2` and the routes given; nothing of the registry behind them. */
export async function buildEdge(
  t: Test,
  routes: FastifyPluginAsync,
  { prefix = '/v2', log = createLog() } = {}
): Promise<FastifyInstance> {
  const app = Fastify({
    logger: { level: 'debug', stream: log.stream },
    routerOptions: { maxParamLength: 4096 },
    frameworkErrors,
    clientErrorHandler: onClientError
  })
  handleExpectContinue(app.server)
  await app.register(errors)
  await app.register(
    async scope => {
      await scope.register(ociRouting)
      await scope.register(errors)
      await scope.register(contentNegotiation)
      await scope.register(routes)
    },
    { prefix }
  )
  t.teardown(() => app.close())
  await app.ready()
  return app
}

/** A connection to a listening app, and everything it has answered so far. */
export async function openSocket(app: FastifyInstance) {
  if (app.server.address() === null) await app.listen({ port: 0, host: '127.0.0.1' })
  const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1')
  let answer = ''
  let wake = () => {}
  const note = () => wake()
  socket.on('data', chunk => {
    answer += chunk
    note()
  })
  socket.on('close', note)
  socket.on('error', note)
  /** Waits until the answers so far contain the text, and returns them; also when the connection has ended. */
  const until = async (text: string): Promise<string> => {
    while (!answer.includes(text) && !socket.closed) await new Promise<void>(resolve => (wake = resolve))
    return answer
  }
  return { socket, until, answer: () => answer }
}
