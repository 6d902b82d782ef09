import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { openFilesystem } from '../src/storage/filesystem.ts'
import { cli, top } from './support/program.ts'
import { openRegistry } from './support/registry.ts'

/** Runs the command line on a terminal of its own, which util-linux's `script` makes. */
async function onTerminal(t: Test, storage: string, ...args: string[]): Promise<{ code: number; shown: string }> {
  const command = [...cli, ...args].join(' ')
  const child = spawn('script', ['--quiet', '--return', '--command', command, '/dev/null'], {
    cwd: top,
    env: { PATH: process.env.PATH, TERM: 'xterm', STORAGE_PATH: storage },
    stdio: ['ignore', 'pipe', 'inherit']
  })
  t.teardown(() => child.kill('SIGKILL'))
  let shown = ''
  child.stdout.setEncoding('utf8').on('data', text => {
    shown += text
  })
  const [code] = await once(child, 'close')
  return { code: Number(code), shown }
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
