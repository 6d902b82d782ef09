/** The npm package: packed, installed into a fresh project, and used there as its readers would. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { run } from '../clients/commands.ts'
import { freePort } from '../reliability/program.ts'
import { withScratch } from '../reliability/scratch.ts'

const top = join(import.meta.dirname, '../..')
/** What runs the examples; Vitest 4 and later need a newer Node.js than this project does. */
const runners = ['tap@21', 'vitest@3']

const typed = `
import Fastify from 'fastify'
import marina, { buildApp, type MarinaOptions, type StorageDriver } from 'marina-distribution'
import { startRegistry, type TestRegistry } from 'marina-distribution/testing'

const options: MarinaOptions = { storage: { path: './data' }, deleteEnabled: false }
await Fastify().register(marina, { prefix: '/registry', ...options })
const registry: TestRegistry = await startRegistry()
registry.fail({ status: 429 }, { method: 'GET' })
// @ts-expect-error a fault is one that there is
registry.fail({ statue: 429 })
export const driver: StorageDriver | undefined = undefined
export { buildApp }
`

await withScratch(15, async (checks, { folder }) => {
  const project = join(folder, 'project')
  await mkdir(project)
  const shell = async (program: string, ...args: string[]) =>
    (await run(program, args, { folder: project, env: process.env, seconds: 300 })).toString()
  const check = (name: string, work: () => Promise<string | undefined>) => checks.check(name, work)

  await check('it holds the program, its types and its documents, and nothing else', async () => {
    const packed = await run('npm', ['pack', '--json', '--pack-destination', folder], { folder: top, env: process.env })
    const [{ filename, files, size }] = JSON.parse(packed.toString()) as [
      { filename: string; size: number; files: { path: string }[] }
    ]
    const others = files
      .map(({ path }) => path)
      .filter(path => !/^dist\/(src|plugins|routes)\/.+\.(js|d\.ts)$/.test(path))
    assert.deepEqual(others.sort(), ['CHANGELOG.md', 'LICENSE', 'README.md', 'package.json'])
    await writeFile(join(project, 'package.json'), JSON.stringify({ name: 'project', private: true, type: 'module' }))
    await shell('npm', 'install', '--silent', join(folder, filename), ...runners)
    return `${files.length} files, ${Math.round(size / 1024)} KiB`
  })
  await check('publint finds nothing', async () => {
    await run('npx', ['publint', '--strict'], { folder: top, env: process.env })
    return undefined
  })
  await check('its types are found by every kind of import', async () => {
    const args = ['attw', '--pack', '.', '--profile', 'esm-only', '--no-emoji', '--no-color']
    await run('npx', args, { folder: top, env: process.env })
    return undefined
  })
  await check('the command tells its version', async () => {
    const { version } = JSON.parse(await readFile(join(top, 'package.json'), 'utf8')) as { version: string }
    assert.equal((await shell('npx', 'marina-distribution', '--version')).trim(), version)
    return undefined
  })
  await check('the command serves', async () => {
    const port = await freePort()
    const env = { ...process.env, PORT: String(port), HOST: '127.0.0.1', LOG_LEVEL: 'warn' }
    const command = join(project, 'node_modules/.bin/marina-distribution')
    const server = spawn(command, { cwd: project, env, stdio: 'inherit' })
    const ended = once(server, 'exit')
    for (let tries = 0; !(await fetch(`http://127.0.0.1:${port}/v2/`).catch(() => undefined)); tries++) {
      assert.ok(tries < 100 && server.exitCode === null, 'it does not answer')
      await sleep(100)
    }
    server.kill('SIGTERM')
    assert.deepEqual(await ended, [0, null])
    return undefined
  })
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
