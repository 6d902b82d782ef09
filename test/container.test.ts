import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { buildApp } from '../src/app.ts'
import { defaults } from '../src/config.ts'
import { dataFolder } from '../src/container/data-folder.ts'
import { becomeOwner } from '../src/container/data-owner.ts'
import { FOREIGN_FILES, foreignConfig } from '../src/container/foreign-config.ts'
import { foreignLayout } from '../src/foreign-layout.ts'
import { createMemory } from '../src/storage/memory.ts'
import { folder, start } from './support/server.ts'

const ROOT = '1 0 0:30 / / rw,relatime - overlay overlay rw'
const mounted = (root: string, point: string): string => `36 35 98:0 ${root} ${point} rw,noatime - ext4 /dev/sda1 rw`
const ANONYMOUS = mounted(`/var/lib/docker/volumes/${'0f'.repeat(32)}/_data`, '/data')

t.test('15.19: a container uses /var/lib/registry where that is mounted and /data is not', async t => {
  for (const [what, mounts, empty, expected] of [
    ['nothing is mounted', [], true, '/data'],
    ['/data alone', [mounted('/srv/a', '/data')], true, '/data'],
    ['/var/lib/registry alone', [mounted('/srv/b', '/var/lib/registry')], true, '/var/lib/registry'],
    ['beside the volume of the image', [ANONYMOUS, mounted('/srv/b', '/var/lib/registry')], true, '/var/lib/registry'],
    ['a named volume', [ANONYMOUS, mounted('/volumes/registry/_data', '/var/lib/registry')], true, '/var/lib/registry'],
    ['where /data holds content', [ANONYMOUS, mounted('/srv/b', '/var/lib/registry')], false, '/data'],
    ['both', [mounted('/srv/a', '/data'), mounted('/srv/b', '/var/lib/registry')], true, '/data'],
    ['below it', [mounted('/srv/b', '/var/lib/registry/docker')], true, '/data'],
    ['the volumes of both images', [ANONYMOUS, ANONYMOUS.replace('/data rw', '/var/lib/registry rw')], true, '/data']
  ] as const) {
    const mountinfo = [ROOT, ...mounts, ''].join('\n')
    t.equal(await dataFolder({ mountinfo, isEmpty: async () => empty }), expected, what)
  }
  t.equal(await dataFolder({ mountinfo: '', isEmpty: async () => true }), '/data', 'where no mounts are listed')
})

t.test('15.19: a configuration file that is mounted stops the start, since nothing in it would count', async t => {
  const path = folder(t)
  const files = ['config.yml', 'other.yml'].map(name => join(path, name))
  t.equal(await foreignConfig(files), undefined)
  writeFileSync(files[1]!, 'auth: { htpasswd: { path: /auth/htpasswd } }')
  t.match(
    await foreignConfig(files),
    `${files[1]} is mounted, and this registry reads no configuration file; allowed: `
  )
  t.strictSame(FOREIGN_FILES, ['/etc/docker/registry/config.yml', '/etc/distribution/config.yml'])
  const program = readFileSync(new URL('../src/container.ts', import.meta.url), 'utf8')
  t.ok(program.indexOf('foreignConfig()') < program.indexOf('becomeOwner('), 'before anything else')
})

t.test('15.19: a folder of CNCF Distribution is recognised', async t => {
  const path = folder(t)
  t.equal(await foreignLayout({ ...defaults, storagePath: path }), undefined)
  mkdirSync(join(path, 'docker/registry/v2'), { recursive: true })
  const line = await foreignLayout({ ...defaults, storagePath: path })
  t.match(line, /holds content of CNCF Distribution \(docker\/registry\/v2\), .* docs\/moving-in\.md says how/)
  const registry = await start(t, { STORAGE_PATH: path })
  t.match(JSON.parse(registry.out.split('\n')[0]!), { level: 40, msg: line }, 'before the first line of the start')
})

t.test('15.19: GET / answers 200 to whoever asks', async t => {
  const access = { anonymous: 'none' as const, certificates: true }
  const app = await buildApp({ ...defaults, logLevel: 'silent', access }, { storage: createMemory() })
  t.teardown(() => app.close())
  for (const method of ['GET', 'HEAD'] as const) {
    const answer = await app.inject({ method, url: '/' })
    t.match(answer, { statusCode: 200, headers: { 'content-type': 'text/plain; charset=utf-8' } })
  }
  t.equal((await app.inject('/v2/')).statusCode, 401)
})

t.test(
  '15.15: a container that stays root says so',
  { skip: process.getuid?.() === 0 ? false : 'only root can stay root' },
  async t => {
    const path = folder(t)
    mkdirSync(join(path, 'repositories'))
    const said = await becomeOwner(path)
    t.equal(process.getuid!(), 0)
    // Root inside a user namespace is a plain user outside of it, and stays who it is without a word.
    t.match(said ?? `runs as root, as ${path} belongs`, `runs as root, as ${path} belongs`)
  }
)
