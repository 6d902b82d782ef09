import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { openFilesystem } from '../src/storage/filesystem.ts'
import { cli, top } from './support/program.ts'
import { openRegistry } from './support/registry.ts'

/** Starts the command line on a terminal of its own, which util-linux's `script` makes. */
function startOnTerminal(t: Test, env: NodeJS.ProcessEnv, ...args: string[]) {
  const command = [...cli, ...args].join(' ')
  const child = spawn('script', ['--quiet', '--return', '--command', command, '/dev/null'], {
    cwd: top,
    env: { PATH: process.env.PATH, TERM: 'xterm', ...env },
    stdio: ['pipe', 'pipe', 'inherit']
  })
  t.teardown(() => child.kill('SIGKILL'))
  const screen = { shown: '' }
  child.stdout.setEncoding('utf8').on('data', text => {
    screen.shown += text
  })
  const ended = once(child, 'close').then(([code]) => ({ code: Number(code), shown: screen.shown }))
  return { child, screen, ended }
}

/** Runs a command to its end, with nothing typed. */
function onTerminal(t: Test, storage: string, ...args: string[]): Promise<{ code: number; shown: string }> {
  const { child, ended } = startOnTerminal(t, { STORAGE_PATH: storage }, ...args)
  child.stdin.end()
  return ended
}

t.test('verify on a terminal shows how far it is, what is wrong, and says so by its exit code', async t => {
  const path = mkdtempSync(join(tmpdir(), 'marina-terminal-'))
  t.teardown(() => rmSync(path, { recursive: true, force: true }))
  const registry = await openRegistry(t, await openFilesystem({ path }), { gcIntervalMs: 0 })
  for (const name of ['app', 'team/app']) await registry.pushImage(name, 'v1')

  const whole = await onTerminal(t, path, 'verify')
  t.match(whole, { code: 0, shown: /: nothing wrong\r\n/ })

  const [content] = readdirSync(join(path, 'content'), { recursive: true, encoding: 'utf8' }).filter(name =>
    name.includes('/')
  )
  // Long enough to read that the bar is drawn before it is over.
  truncateSync(join(path, 'content', content!), 800 * 1024 * 1024)
  const damaged = await onTerminal(t, path, 'verify')
  t.match(damaged, { code: 1, shown: /(repositories|contents) [^\n]* \d+ % / })
  t.match(damaged.shown, /fault {4}content-damaged/)
  t.match(damaged.shown, /: \d faults?\r\n/)
})

t.test('15.21: on a terminal a request is one line of the log', async t => {
  const path = mkdtempSync(join(tmpdir(), 'marina-terminal-'))
  t.teardown(() => rmSync(path, { recursive: true, force: true }))
  const env = { STORAGE_PATH: path, HOST: '127.0.0.1', PORT: '0' }
  const { child, screen, ended } = startOnTerminal(t, env)
  const shows = async (pattern: RegExp) => {
    while (!pattern.test(screen.shown)) await once(child.stdout, 'data')
    return pattern.exec(screen.shown)!
  }
  const [, port] = await shows(/listening at http:\/\/127\.0\.0\.1:(\d+),/)
  const before = screen.shown.split('\n').length
  await fetch(`http://127.0.0.1:${port}/v2/app/tags/list`, { headers: { 'user-agent': 'crane/1' } })
  await shows(/\/v2\/app\/tags\/list/)
  // Ctrl-C, as somebody types it.
  child.stdin.write('\x03')
  await shows(/SIGINT: closing/)
  await ended
  const lines = screen.shown
    .split('\n')
    .slice(before - 1)
    .filter(line => line !== '')
  const request = lines.findIndex(line => line.includes('/v2/app/tags/list'))
  t.match(lines[request], /^\S*\[\d\d:\d\d:\d\d\.\d{3}\].*GET \/v2\/app\/tags\/list 404, \d+ bytes out, [\d.]+ ms/)
  t.match(lines[request + 1], /SIGINT: closing/, 'and nothing but the next line follows')
})

t.test('15.24: on a terminal repository delete asks, and deletes only where the answer is yes', async t => {
  const path = mkdtempSync(join(tmpdir(), 'marina-terminal-'))
  t.teardown(() => rmSync(path, { recursive: true, force: true }))
  const registry = await openRegistry(t, await openFilesystem({ path }), { gcIntervalMs: 0 })
  await registry.pushImage('team/app', 'v1')
  for (const [typed, code, said, status] of [
    ['n\n', 1, /nothing was deleted\r\n/, 200],
    ['\n', 1, /nothing was deleted\r\n/, 200],
    ['\x04', 1, /nothing was deleted\r\n/, 200],
    ['y\n', 0, /team\/app is deleted: 1 manifests, 2 links to blobs\r\n/, 404]
  ] as const) {
    const { child, screen, ended } = startOnTerminal(t, { STORAGE_PATH: path }, 'repository', 'delete', 'team/app')
    while (!screen.shown.includes('[y/N]')) await once(child.stdout, 'data')
    t.match(screen.shown, 'Delete team/app with 1 manifests, 2 links to blobs?')
    child.stdin.write(typed)
    t.match(await ended, { code, shown: said }, JSON.stringify(typed))
    t.equal((await registry.getManifest('team/app', 'v1')).status, status)
  }
})
