import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { createAuthority } from '../support/certificates.ts'
import { type Block, blocksToRun } from '../support/documents.ts'
import { cli, placeProgram } from '../support/program.ts'

const PASSWORD = 'correct horse battery staple'
const MARK = '-- exit'

const linesOf = ({ body }: Block): string[] => body.trimEnd().split('\n')

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  return port
}

/** A folder with what the recipes name: the programs, certificates, and a curl that finds registry.example.com here. */
async function scratch(t: Test) {
  const folder = mkdtempSync(join(tmpdir(), 'marina-recipes-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const bin = join(folder, 'bin')
  const program = `exec ${cli.join(' ')}`
  placeProgram(bin, 'marina-distribution', `${program} "$@"`)
  placeProgram(bin, 'npm', `[ "$*" = start ] && ${program}`)
  const authority = createAuthority(join(folder, 'ca'))
  const [server, robot] = [authority.issue('registry.example.com'), authority.issue('robot')]
  for (const [from, to] of [
    [server.certFile, 'registry.pem'],
    [server.keyFile, 'registry.key'],
    [robot.certFile, 'robot.pem'],
    [robot.keyFile, 'robot.key'],
    [authority.caFile, 'clients-ca.pem']
  ] as const) {
    copyFileSync(from, join(folder, to))
  }
  const port = await freePort()
  const options = [`connect-to = "registry.example.com:443:127.0.0.1:${port}"`, `cacert = "${authority.caFile}"`]
  writeFileSync(join(folder, '.curlrc'), [...options, 'silent', 'show-error', ''].join('\n'))
  const tls = { TLS_CERT_FILE: 'registry.pem', TLS_KEY_FILE: 'registry.key' }
  const env = {
    PATH: `${bin}:${process.env.PATH}`,
    HOME: folder,
    PORT: String(port),
    HOST: '127.0.0.1',
    PASSWORD,
    ...tls
  }
  return { folder, env }
}

type Scratch = Awaited<ReturnType<typeof scratch>>

function bash({ folder, env }: Scratch, script: string): ChildProcess {
  return spawn('bash', ['--norc', '-c', script], { cwd: folder, env, stdio: ['pipe', 'pipe', 'pipe'] })
}

/** Runs the block that ends in `npm start`, with a password on stdin; resolves when the server listens. */
async function start(t: Test, place: Scratch, lines: readonly string[]): Promise<void> {
  const script = lines.join('\n').replace(/\bPORT=443\b/, `PORT=${place.env.PORT}`)
  const server = bash(place, script.replace(/npm start$/, 'exec npm start'))
  let said = ''
  for (const stream of [server.stdout!, server.stderr!]) stream.on('data', (chunk: Buffer) => (said += chunk))
  server.stdin!.end(`${PASSWORD}\n`)
  const ended = once(server, 'exit')
  t.teardown(async () => {
    server.kill('SIGTERM')
    await ended
  })
  for (let tries = 0; tries < 1200 && !said.includes('listening at') && server.exitCode === null; tries++)
    await sleep(50)
  t.match(said, /listening at https:/, 'it starts')
}

/** Runs the commands of `console` blocks in one shell, and compares what each says with what the document says. */
async function converse(t: Test, place: Scratch, exported: readonly string[], blocks: readonly Block[]): Promise<void> {
  const steps: { command: string; said: string[] }[] = []
  for (const line of blocks.flatMap(linesOf)) {
    if (line.startsWith('$ ')) steps.push({ command: line.slice(2), said: [] })
    else steps.at(-1)!.said.push(line)
  }
  const script = steps.map(({ command }) => `${command}\nprintf '\\n${MARK}\\n'`)
  const shell = bash(place, ['exec 2>&1', ...exported, ...script].join('\n'))
  shell.stdin!.end()
  const answers = (await text(shell.stdout!)).split(`\n${MARK}\n`)
  t.ok(steps.length > 0)
  for (const [index, { command, said }] of steps.entries()) {
    const expected = said
      .join('\n')
      .split('…')
      .map(part => part.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'))
    t.match(answers[index]!.trimEnd(), new RegExp(`^${expected.join('.*')}$`), command)
  }
}

for (const blocks of [
  blocksToRun('docs/access.md', 2, 'A private team: users and passwords'),
  blocksToRun('docs/access.md', 2, 'Public reading'),
  blocksToRun('docs/access.md', 2, 'A policy: who may do what, where'),
  blocksToRun('docs/access.md', 2, 'Robots: tokens for CI and other programs'),
  blocksToRun('docs/access.md', 1, 'TLS'),
  blocksToRun('docs/access.md', 2, 'Certificates of clients')
]) {
  t.test(`docs/access.md, as it is written: ${blocks[0]!.heading}`, async t => {
    const place = await scratch(t)
    for (const { body } of blocks.filter(({ language }) => language === 'yaml')) {
      writeFileSync(join(place.folder, /^# (.+)/.exec(body)![1]!), body)
    }
    const starting = blocks.filter(({ language }) => language === 'sh')
    t.equal(starting.length, 1, 'one server')
    const lines = linesOf(starting[0]!)
    // Where the section takes the users from before.
    const before = lines.some(line => line.includes('htpasswd alice'))
      ? []
      : ['marina-distribution htpasswd alice >> users']
    await start(t, place, [...(lines.join().includes('=users') ? before : []), ...lines])
    const exported = lines.filter(line => line.startsWith('export '))
    const spoken = blocks.filter(({ language }) => language === 'console')
    if (spoken.length > 0) await converse(t, place, exported, spoken)
  })
}
