import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { requestLog } from '../src/logger.ts'
import { createLog } from './plugins/edge.ts'

/** GET /<status> answers with that status. */
function logged(t: Test, which: 'none' | 'errors' | 'all') {
  const { stream, lines } = createLog()
  const app = Fastify({
    logger: { level: 'info', stream },
    logController: requestLog({ logRequests: which, logLevel: 'info' })
  })
  app.get<{ Params: { status: string } }>(
    '/:status',
    async ({ params }, reply) => void reply.code(Number(params.status))
  )
  t.teardown(() => app.close())
  return { app, lines }
}

t.test('LOG_REQUESTS: one line for each request, when it has been answered', async t => {
  for (const [which, expected] of [
    ['all', [200, 304, 404, 500]],
    ['errors', [404, 500]],
    ['none', []]
  ] as const) {
    const { app, lines } = logged(t, which)
    for (const status of [200, 304, 404, 500]) t.equal((await app.inject(`/${status}`)).statusCode, status)
    t.strictSame(
      lines.map(({ res }) => (res as { statusCode: number }).statusCode),
      expected,
      which
    )
    for (const line of lines) {
      t.match(line, { level: 30, reqId: String, req: { method: 'GET', url: /^\/\d+$/ }, responseTime: Number })
    }
  }
})
