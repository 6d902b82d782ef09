// An app with routes of its own, and two registries in it: one that everybody may read, and one for the app itself.
import Fastify from 'fastify'
import marina from 'marina-distribution'

/** @param {string} folder where the registries keep their content */
export async function buildApp(folder) {
  const app = Fastify()

  app.get('/', async () => ({ hello: 'from an app with two registries' }))

  // docker and its like look for /v2/ at the root of a host. A registry under a prefix is for programs of your own, or for
  // a proxy that gives it a host name.
  await app.register(marina, {
    storage: { path: `${folder}/public` },
    authorize: (_request, { name }) => name !== 'delete',
    onEvent: ({ event, repository, digest, tags = [] }) => {
      app.log.info({ event, repository, digest, tags }, 'registry')
      if (event === 'manifest.push') app.pushed.push(`${repository}:${tags.join(',')}`)
    }
  })
  await app.register(marina, { prefix: '/internal', storage: { path: `${folder}/internal` }, gcIntervalMs: 0 })

  app.decorate('pushed', /** @type {string[]} */ ([]))
  app.get('/pushed', async () => app.pushed)
  return app
}
