import t from 'tap'
import { createMemory } from '../../src/storage/memory.ts'
import { parse } from '../support/client.ts'
import { openRegistry } from '../support/registry.ts'

interface Described {
  responses: Record<string, { content?: Record<string, unknown> }>
}

t.test('every operation tells what it answers, and how it refuses', async t => {
  const { get } = await openRegistry(t, createMemory(), { openapiEnabled: true })
  const { paths } = parse(await get('/openapi.json')) as { paths: Record<string, Record<string, Described>> }
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { responses }]) => ({ what: `${method} ${path}`, method, responses }))
  )
  t.equal(operations.length, 21)
  for (const { what, method, responses } of operations) {
    t.ok(
      Object.keys(responses).some(status => /^20\d$/.test(status)),
      `${what}: a success`
    )
    const errorTypes = ['4XX', '5XX'].map(status => Object.keys(responses[status]?.content ?? {}))
    const wanted = method === 'head' ? [] : ['application/json']
    t.strictSame(errorTypes, [wanted, wanted], `${what}: its errors`)
  }
})
