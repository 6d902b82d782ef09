/** The examples that need programs: the proxies before a real registry, and the chart. */
import assert from 'node:assert/strict'
import { mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../clients/commands.ts'
import { withScratch } from '../reliability/scratch.ts'
import { startServer } from '../reliability/server-process.ts'
import { createAuthority } from '../support/certificates.ts'
import { parseManifests, readWorkload } from './kubernetes.ts'
import { pushThrough, startCaddy, startNginx } from './proxies.ts'

const chart = join(import.meta.dirname, '../../examples/helm/marina-distribution')
const USERS = 'alice:$2y$05$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy\n'
const SECRETS = { keys: { 'access-key-id': 'id', 'secret-access-key': 'secret' }, users: { users: USERS } }

await withScratch(10, async (checks, { folder, storage }) => {
  const helm = async (...args: string[]) =>
    (await run('helm', args, { env: { ...process.env, HOME: folder } })).toString()
  const render = async (...values: string[]) =>
    parseManifests(await helm('template', 'demo', chart, ...values.flatMap(value => ['--set', value])))

  for (const [name, start] of [
    ['nginx', startNginx],
    ['Caddy', startCaddy]
  ] as const) {
    await checks.check(`${name}: large layers pass unbuffered, at the root and below a path`, async () => {
      const place = await mkdtemp(join(folder, 'proxy-'))
      const registryLog = join(place, 'registry.log')
      const env = { TRUST_PROXY: 'loopback', LOG_LEVEL: 'info' }
      const server = await startServer({ storage: join(storage, name), log: registryLog, env })
      const authority = createAuthority(join(place, 'ca'))
      const proxy = await start(place, server.port, authority)
      await pushThrough(proxy, authority.caFile, place, registryLog)
      await proxy.running.stop()
      await server.stop()
      return undefined
    })
  }
  await checks.check('the chart has no faults', async () => {
    assert.match(await helm('lint', '--strict', chart), /0 chart\(s\) failed/)
    return undefined
  })
  await checks.check('the chart on a volume', async () => {
    const { config, kinds } = readWorkload(await render(), folder)
    assert.deepEqual(kinds, ['ConfigMap', 'Deployment', 'PersistentVolumeClaim', 'Service'])
    assert.equal(config.storagePath, '/data')
    return undefined
  })
  await checks.check('the chart on a bucket, with users, replicas and an ingress', async () => {
    const bucket = ['storage.driver=s3', 'storage.s3.bucket=images', 'storage.s3.region=eu-central-1']
    const more = ['storage.s3.existingSecret=keys', 'usersSecret=users', 'replicas=2', 'ingress.enabled=true']
    const manifests = await render(...bucket, ...more, 'ingress.tlsSecret=tls', 'config.READ_ONLY=true')
    const { config, kinds, replicas } = readWorkload(manifests, folder, SECRETS)
    assert.deepEqual(kinds, ['ConfigMap', 'Deployment', 'Ingress', 'PodDisruptionBudget', 'Service'])
    assert.equal(replicas, 2)
    assert.deepEqual(config.s3?.credentials, { accessKeyId: 'id', secretAccessKey: 'secret' })
    assert.equal(config.externalUrl, 'https://registry.example.com')
    assert.ok(config.readOnly && config.access)
    return undefined
  })
  await checks.check('the chart refuses what could not work', async () => {
    await assert.rejects(render('storage.driver=s3'), /bucket/)
    await assert.rejects(render('replicas=2'), /more than one needs/)
    return undefined
  })
})
