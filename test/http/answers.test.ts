import { setImmediate as turn } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { createAnswers } from '../../src/http/answers.ts'
import { buildEdge, openSocket } from '../plugins/edge.ts'

/** GET answers with what the reference says; `unwritable` has a header that can't be sent. */
function edge(t: Test): Promise<FastifyInstance> {
  const routes = async (scope: FastifyInstance) =>
    void scope.get('/*', { constraints: { ociEndpoint: 'manifest' } }, async (request, reply) => {
      const { reference } = request.params as { reference: string }
      if (reference === 'unwritable') reply.header('x-odd', 'a\nb')
      return Buffer.from(reference)
    })
  return buildEdge(t, routes)
}

t.test('answers of one turn are written together, in the order they came in', async t => {
  const written: string[] = []
  const answers = createAnswers()
  for (const name of ['a', 'b', 'c']) answers.add(() => written.push(name))
  t.strictSame(written, [])
  await turn()
  t.strictSame(written, ['a', 'b', 'c'])
  answers.add(() => written.push('d'))
  await turn()
  t.strictSame(written, ['a', 'b', 'c', 'd'])
})

t.test('requests on one connection are answered in their order', async t => {
  const { socket, until } = await openSocket(await edge(t))
  const names = ['one', 'two', 'three', 'last']
  for (const name of names) socket.write(`GET /v2/a/manifests/${name} HTTP/1.1\r\nHost: h\r\n\r\n`)
  t.match(await until('last'), /one.*two.*three.*last/s)
  socket.destroy()
})

t.test('an answer that can not be written is a 500 and spoils no other', async t => {
  const app = await edge(t)
  const get = (reference: string) => app.inject({ url: `/v2/a/manifests/${reference}` })
  const [before, odd, after] = await Promise.all([get('before'), get('unwritable'), get('after')])
  t.equal(before?.body, 'before')
  t.equal(odd?.statusCode, 500)
  t.equal(after?.body, 'after')
})
