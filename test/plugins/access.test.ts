import Fastify from 'fastify'
import t from 'tap'
import access from '../../plugins/access.ts'
import ociRouting from '../../plugins/oci-routing.ts'

t.test('a route that does not say what it lets its caller do fails at the start', async t => {
  for (const settings of [undefined, { anonymous: 'pull' as const }]) {
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(ociRouting)
    await app.register(access, { access: settings })
    app.get('/open', { config: { action: 'open' } }, async () => 'open')
    t.throws(() => app.get('/', async () => ''), /GET \/ does not say what it lets its caller do/)
    t.throws(
      () => app.put('/*', { constraints: { ociEndpoint: 'manifest' }, config: { path: '/v2/{name}' } }, async () => ''),
      /PUT \/v2\/\{name\} does not say/
    )
    t.equal((await app.inject('/open')).body, 'open')
  }
})
