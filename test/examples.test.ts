import { existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t from 'tap'
import { parse } from 'yaml'
import { chartConfig, chartSchemaFile } from '../build/docs.ts'
import { buildApp } from '../src/app.ts'
import { configWarnings, defaults, loadConfig } from '../src/config.ts'
import { createMemory } from '../src/storage/memory.ts'
import { parseManifests, readWorkload } from './examples/kubernetes.ts'

const top = resolve(import.meta.dirname, '..')
const examples = join(top, 'examples')
const read = (file: string): string => readFileSync(join(examples, file), 'utf8')
const USERS = 'alice:$2y$05$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy\n'

t.test('the compose file starts a registry that takes its settings', async t => {
  const { services, volumes, secrets } = parse(read('compose/compose.yaml'))
  const { registry } = services
  t.ok(existsSync(join(examples, 'compose', registry.build.context, registry.build.dockerfile)))
  const users = join(t.testdir({ users: USERS }), 'users')
  t.equal(registry.environment.AUTH_HTPASSWD_FILE, `/run/secrets/${registry.secrets[0]}`)
  t.strictSame(Object.keys(secrets), registry.secrets)
  const env = { ...registry.environment, AUTH_HTPASSWD_FILE: users }
  const { storagePath, port, access, shutdownTimeoutMs } = loadConfig(env)
  t.strictSame(configWarnings(env), [])
  t.match(access, { htpasswdFile: users, anonymous: 'pull' })
  t.strictSame(registry.volumes, [`${Object.keys(volumes)[0]}:${storagePath}`])
  t.strictSame(registry.ports, [`127.0.0.1:${port}:${port}`])
  t.ok(Number.parseInt(registry.stop_grace_period, 10) * 1000 > shutdownTimeoutMs)
})

t.test('the units of systemd name what is there', async t => {
  const entries = read('quadlet/marina-distribution.container')
    .split('\n')
    .flatMap(line =>
      /^\w+=/.test(line) ? [[line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]] : []
    )
  const unit = Object.fromEntries(entries) as Record<string, string>
  const env = Object.fromEntries(unit.Environment!.split(' ').map(pair => pair.split('=') as [string, string]))
  const { storagePath, port, shutdownTimeoutMs } = loadConfig(env)
  t.strictSame(configWarnings(env), [])
  const [volume, at] = unit.Volume!.split(':')
  t.ok(existsSync(join(examples, 'quadlet', volume!)))
  t.equal(at, storagePath)
  t.equal(unit.PublishPort, `127.0.0.1:${port}:${port}`)
  t.ok(Number(unit.TimeoutStopSec) * 1000 > shutdownTimeoutMs)
})

t.test('the manifests of Kubernetes fit together, and their probes are answered', async t => {
  const workload = readWorkload(parseManifests(read('kubernetes/registry.yaml')), t.testdir({}))
  t.strictSame(workload.kinds, ['ConfigMap', 'Deployment', 'PodDisruptionBudget', 'Secret', 'Service'])
  t.match(workload.config, {
    storageDriver: 's3',
    externalUrl: 'https://registry.example.com',
    s3: { credentials: { accessKeyId: 'change-me', secretAccessKey: 'change-me' } }
  })
  t.equal(workload.replicas, 2)
  const app = await buildApp({ ...defaults, logLevel: 'silent' }, { storage: createMemory() })
  t.teardown(() => app.close())
  t.strictSame(workload.probes, ['/livez', '/readyz'])
  for (const path of workload.probes) t.equal((await app.inject(path)).statusCode, 200, path)
})

interface Router {
  service: string
  middlewares?: string[]
  entryPoints: string[]
  tls: { certResolver: string }
}

t.test('the files of Traefik name what is there', async t => {
  const { entryPoints, certificatesResolvers, providers } = parse(read('traefik/traefik.yaml'))
  const { http } = parse(read('traefik/registry.yaml'))
  t.equal(providers.file.filename, '/etc/traefik/registry.yaml')
  t.equal(entryPoints.websecure.transport.respondingTimeouts.readTimeout, '0s', 'bodies take as long as they take')
  for (const { service, middlewares = [], entryPoints: names, tls } of Object.values<Router>(http.routers)) {
    t.ok(service in http.services && tls.certResolver in certificatesResolvers)
    for (const name of middlewares) t.ok(name in http.middlewares, name)
    for (const name of names) t.ok(name in entryPoints, name)
  }
})

t.test('the list of the examples leads to what is there', async t => {
  const links = [...read('README.md').matchAll(/\]\(([^)]+)\)/g)].map(([, link]) => link!)
  t.ok(links.length >= 11)
  for (const link of links) t.ok(existsSync(join(examples, link)), link)
})

t.test('15.25: the chart knows the names of all variables (`npm run docs` writes them)', t => {
  const schema = JSON.parse(readFileSync(chartSchemaFile, 'utf8'))
  const { properties, additionalProperties } = schema.properties.config
  t.strictSame(properties, chartConfig())
  t.equal(additionalProperties, false)
  for (const name of ['LOG_LEVEL', 'S3_PART_SIZE', 'AWS_SECRET_ACCESS_KEY_FILE', 'AWS_REGION']) t.ok(name in properties)
  t.notOk('STORAGE_DRIVER' in properties)
  // Helm takes no value that the schema does not name, so all that are there are named.
  t.strictSame(
    Object.keys(parse(read('helm/marina-distribution/values.yaml'))).sort(),
    [...Object.keys(schema.properties).filter(name => name !== 'global')].sort()
  )
  t.end()
})
