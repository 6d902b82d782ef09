/** The npm package: packed, installed into a fresh project, and used there as its readers would. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { cp, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { run } from '../clients/commands.ts'
import { freePort } from '../reliability/program.ts'
import { withScratch } from '../reliability/scratch.ts'

const top = join(import.meta.dirname, '../..')
/** What the examples need; Vitest 4 and later need a newer Node.js than this project does. */
const runners = ['tap@21', 'vitest@3', '@fastify/cookie@11', '@fastify/session@11']

const typed = `
import Fastify from 'fastify'
import marina, {
  type AccessSettings,
  buildApp,
  type Config,
  ConfigError,
  defaults,
  type LimitSettings,
  loadConfig,
  type MarinaOptions,
  type QuotaRule,
  type RegistryEvent,
  type StorageDriver
} from 'marina-distribution'
import { createTracing, type Tracing } from 'marina-distribution/tracing'
import { type OpenStore, StorageError, storageContract } from 'marina-distribution/storage-contract'
import { startRegistry, type TestRegistry } from 'marina-distribution/testing'

const options: MarinaOptions = { storage: { path: './data' }, deleteEnabled: false }
await Fastify().register(marina, { prefix: '/registry', ...options })
export const heard: RegistryEvent[] = []
await Fastify().register(marina, {
  ...options,
  authorize: async ({ headers }, { name, repository }) =>
    headers.cookie === undefined ? 'login' : name !== 'delete' || { user: repository ?? 'nobody' },
  onEvent: event => void heard.push(event)
})
const access: AccessSettings = { htpasswdFile: 'users', anonymous: 'pull' }
const limits: LimitSettings = { perUser: { requests: 600, perMs: 60_000 }, uploads: 0, uploadSessions: 4 }
const quotas: QuotaRule[] = [{ pattern: 'team/**', bytes: 1e9 }]
const tracing: Tracing | undefined = undefined
await Fastify().register(marina, { ...options, access, limits, quotas, tracing })
const config: Config = { ...defaults, ...loadConfig({ PORT: '5001' }), storagePath: './data' }
await (await buildApp(config)).close()
export const more = [createTracing, ConfigError]
const registry: TestRegistry = await startRegistry({ logins: { ann: 'secret' }, anonymous: 'pull' })
registry.fail({ status: 429 }, { method: 'GET' })
// @ts-expect-error a fault is one that there is
registry.fail({ statue: 429 })
export const driver: StorageDriver | undefined = undefined
export const cases = (open: OpenStore) => storageContract(open).map(({ title, run }) => ({ title, run }))
new StorageError('conflict', 'x', { size: 1 })
`

await withScratch(15, async (checks, { folder }) => {
  const project = join(folder, 'project')
  await mkdir(project)
  const shell = async (program: string, ...args: string[]) =>
    (await run(program, args, { folder: project, env: process.env, seconds: 300 })).toString()
  const check = (name: string, work: () => Promise<string | undefined>) => checks.check(name, work)

  // As a fresh clone has it: nothing that is built.
  const fresh = join(folder, 'fresh')
  const tracked = await run('git', ['ls-files', '-z', '-co', '--exclude-standard'], { folder: top, env: process.env })
  for (const file of tracked.toString().split('\0').filter(Boolean)) {
    if (existsSync(join(top, file))) await cp(join(top, file), join(fresh, file))
  }
  await symlink(join(top, 'node_modules'), join(fresh, 'node_modules'))
  let paths: string[] = []
  let tarball = ''
  await check('15.23: packed from a fresh clone, it holds the program, its types and its documents', async () => {
    const args = ['pack', '--json', '--pack-destination', folder]
    const packed = await run('npm', args, { folder: fresh, env: process.env, seconds: 300 })
    const [{ filename, files, size }] = JSON.parse(packed.toString()) as [
      { filename: string; size: number; files: { path: string }[] }
    ]
    tarball = join(folder, filename)
    paths = files.map(({ path }) => path)
    const others = paths.filter(
      path => !/^dist\/(src|plugins|routes)\/.+\.(js|d\.ts)$|^(docs|bench)\/[\w-]+\.(md|svg)$|^examples\//.test(path)
    )
    assert.deepEqual(others.sort(), [
      'CHANGELOG.md',
      'CONTRIBUTING.md',
      'LICENSE',
      'README.md',
      'SECURITY.md',
      'dist/src/bundled-licenses.txt',
      'package.json'
    ])
    assert.ok(paths.includes('dist/src/cli.js') && paths.includes('dist/src/index.d.ts'))
    await writeFile(join(project, 'package.json'), JSON.stringify({ name: 'project', private: true, type: 'module' }))
    await shell('npm', 'install', '--silent', tarball, ...runners)
    return `${files.length} files, ${Math.round(size / 1024)} KiB`
  })
  await check('15.23: what its documents point to is in the package', async () => {
    const documents = paths.filter(path => path.endsWith('.md'))
    let links = 0
    for (const document of documents) {
      const text = await readFile(join(fresh, document), 'utf8')
      for (const [, target = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
        if (/^(https?:|#)/.test(target)) continue
        const path = join(dirname(document), target.replace(/#.*/, '')).replace(/\/$/, '')
        assert.ok(
          paths.some(packed => packed === path || packed.startsWith(`${path}/`)),
          `${document} points to ${target}, which is not in the package`
        )
        links++
      }
    }
    assert.ok(links > 50)
    return `${links} links in ${documents.length} documents`
  })
  await check('15.23: npm builds it where it installs a git repository', async () => {
    await rm(join(fresh, 'dist'), { recursive: true })
    await run('npm', ['run', '--silent', 'prepare'], { folder: fresh, env: process.env, seconds: 300 })
    assert.ok(existsSync(join(fresh, 'dist/src/cli.js')))
    return undefined
  })
  await check('publint finds nothing', async () => {
    await run('npx', ['publint', 'run', tarball, '--strict'], { folder: top, env: process.env })
    return undefined
  })
  await check('its types are found by every kind of import', async () => {
    const args = ['attw', tarball, '--profile', 'esm-only', '--no-emoji', '--no-color']
    await run('npx', args, { folder: top, env: process.env })
    return undefined
  })
  await check('the command tells its version', async () => {
    const { version } = JSON.parse(await readFile(join(top, 'package.json'), 'utf8')) as { version: string }
    assert.equal((await shell('npx', 'marina-distribution', '--version')).trim(), version)
    return undefined
  })
  for (const [where, signal, program, ...args] of [
    [project, 'SIGTERM', join(project, 'node_modules/.bin/marina-distribution')],
    // As a terminal does: to npx and all that it has started. npx itself passes on no signal where sh is dash.
    [project, 'Control-C', 'npx', 'marina-distribution'],
    // What is built is there; `prestart` would build it again.
    [top, 'SIGTERM', 'npm', '--silent', '--ignore-scripts', 'start']
  ] as const) {
    await check(`${[program.replace(/.*\//, ''), ...args].join(' ')} serves until ${signal}`, async () => {
      const port = await freePort()
      const storage = join(folder, 'registry')
      const env = { ...process.env, PORT: `${port}`, HOST: '127.0.0.1', LOG_LEVEL: 'warn', STORAGE_PATH: storage }
      const server = spawn(program, args, { cwd: where, env, stdio: 'inherit', detached: true })
      const ended = once(server, 'exit')
      const answers = () =>
        fetch(`http://127.0.0.1:${port}/v2/`).then(
          () => true,
          () => false
        )
      try {
        for (let tries = 0; !(await answers()); tries++) {
          assert.ok(tries < 300 && server.exitCode === null, 'it does not answer')
          await sleep(100)
        }
        if (signal === 'SIGTERM') server.kill(signal)
        else process.kill(-server.pid!, 'SIGINT')
        await ended
        for (let tries = 0; tries < 50 && (await answers()); tries++) await sleep(100)
        assert.equal(await answers(), false, 'the registry went on without its parent')
        return undefined
      } finally {
        // The whole group: what a parent left behind must not outlive the check.
        try {
          process.kill(-server.pid!, 'SIGKILL')
        } catch {
          // It is all gone, as it should be.
        }
      }
    })
  }
  await cp(join(top, 'examples'), join(project, 'examples'), { recursive: true })
  await check('a typed program that uses it compiles', async () => {
    await writeFile(join(project, 'typed.ts'), typed)
    const options = '--noEmit --strict --module nodenext --target es2023 --types node --skipLibCheck typed.ts'
    await shell(
      join(top, 'node_modules/.bin/tsc'),
      ...options.split(' '),
      '--typeRoots',
      join(top, 'node_modules/@types')
    )
    return undefined
  })
  for (const [name, ...command] of [
    ['node:test', 'node', '--test', 'examples/testing/node.test.mjs'],
    ['an app of one’s own', 'node', '--test', 'examples/embedded/app.test.mjs'],
    ['the login of one’s own', 'node', '--test', 'examples/session-login/app.test.mjs'],
    ['a driver of one’s own', 'node', '--test', 'examples/own-storage/contract.test.mjs'],
    ['tap', 'npx', 'tap', '--disable-coverage', 'examples/testing/tap.test.mjs'],
    ['Vitest', 'npx', 'vitest', 'run', '--dir', 'examples/testing', 'vitest']
  ]) {
    await check(`the example for ${name} runs`, async () => {
      const [program, ...args] = command
      assert.match(await shell(program!, ...args), /pass/)
      return undefined
    })
  }
})
