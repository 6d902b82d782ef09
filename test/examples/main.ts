/** The examples that need programs: the proxies before a real registry, and the chart. */
import assert from 'node:assert/strict'
import { mkdtemp, writeFile } from 'node:fs/promises'
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

const MORE = `
externalUrl: https://images.example.com
trustProxy: 10.42.0.0/16
ingress: { enabled: true }
config: { LOG_FORMAT: pretty, BUFFER_MEMORY: 268435456 }
env:
  - { name: READ_ONLY, value: "true" }
envFrom:
  - secretRef: { name: more }
extraVolumes:
  - { name: policy, configMap: { name: registry-policy } }
extraVolumeMounts:
  - { name: policy, mountPath: /etc/registry, readOnly: true }
serviceAccount:
  create: true
  annotations: { eks.amazonaws.com/role-arn: "arn:aws:iam::1:role/registry" }
metrics:
  serviceMonitor: { enabled: true, labels: { release: prometheus } }
`

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
  await checks.check('15.25: the chart with more of everything', async () => {
    const values = join(folder, 'values.yaml')
    await writeFile(values, MORE)
    const manifests = parseManifests(await helm('template', 'demo', chart, '--values', values))
    const { config, kinds } = readWorkload(manifests, folder, { ...SECRETS, more: { DELETE_ENABLED: 'false' } })
    assert.deepEqual(kinds, [
      'ConfigMap',
      'Deployment',
      'Ingress',
      'PersistentVolumeClaim',
      'Service',
      'ServiceAccount',
      'ServiceMonitor'
    ])
    assert.equal(config.externalUrl, 'https://images.example.com', 'TLS ends in front of the ingress')
    assert.deepEqual(config.trustProxy, ['10.42.0.0/16'])
    assert.equal(config.logFormat, 'pretty', 'config counts before what the chart has, and is there once')
    assert.equal(config.bufferMemoryBytes, 268_435_456, 'a large number stays one')
    assert.deepEqual([config.readOnly, config.deleteEnabled], [true, false], 'env and envFrom')
    const { template } = manifests.find(({ kind }) => kind === 'Deployment')!.spec
    const { volumes, containers, ...pod } = template.spec
    assert.ok(volumes.some(({ name }) => name === 'policy'))
    assert.ok(containers[0].volumeMounts.some(({ mountPath }) => mountPath === '/etc/registry'))
    assert.equal(pod.serviceAccountName, 'demo')
    return undefined
  })
  await checks.check('15.25: the notes tell what the registry is reached by, and what is left open', async () => {
    const notes = async (...values: string[]) =>
      helm('install', 'demo', chart, '--dry-run=client', ...values.flatMap(value => ['--set', value]))
    const open = await notes()
    assert.match(open, /port-forward service\/demo 5000:80/)
    assert.match(open, /No users are set/)
    const behind = await notes('ingress.enabled=true', 'usersSecret=users')
    assert.match(behind, /docker login registry\.example\.com/)
    assert.match(behind, /plain HTTP.*set externalUrl/s)
    assert.match(behind, /trustProxy is not set/)
    assert.doesNotMatch(behind, /No users are set/)
    return undefined
  })
  await checks.check('the chart refuses what could not work', async () => {
    await assert.rejects(render('storage.driver=s3'), /bucket/)
    await assert.rejects(render('replicas=2'), /more than one needs/)
    await assert.rejects(render('metrics.enabled=false', 'metrics.serviceMonitor.enabled=true'), /metrics\.enabled/)
    await assert.rejects(render('config.LOG_LEVL=debug'), /LOG_LEVL/)
    await assert.rejects(render('config.STORAGE_DRIVER=s3'), /STORAGE_DRIVER/)
    await assert.rejects(render('ingres.enabled=true'), /ingres/)
    await assert.rejects(render('externalUrl=registry.example.com'), /externalUrl/)
    return undefined
  })
})
