import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, copyFileSync, mkdtempSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { Command } from 'commander'
import t, { type Test } from 'tap'
import { completionScript } from '../src/cli/completion.ts'
import { addGc } from '../src/cli/gc.ts'
import { createProgram } from '../src/cli/program.ts'
import { createProgressBar } from '../src/cli/progress.ts'
import { addRepository } from '../src/cli/repository.ts'
import { UsageError } from '../src/cli/store.ts'
import { addToken } from '../src/cli/token.ts'
import { refuseUnknownCommand } from '../src/cli/unknown-command.ts'
import { addUploads } from '../src/cli/uploads.ts'
import { addVerify } from '../src/cli/verify.ts'
import { addWhy } from '../src/cli/why.ts'
import { variableNames, variablesText } from '../src/config/schema.ts'
import { type Digest, digestBytes } from '../src/registry/digest.ts'
import { type CollectProgress, createCollector } from '../src/registry/gc.ts'
import { contentKey, endedKey, GC_LEASE, linksOf, parseLink, taggedOf } from '../src/registry/keys.ts'
import { createRegistry } from '../src/registry/registry.ts'
import { openFilesystem } from '../src/storage/filesystem.ts'
import { bytesText, durationText } from '../src/units.ts'
import { age } from './support/age.ts'
import { type Client, createClient } from './support/client.ts'
import { type Outcome, runCommand } from './support/commands.ts'
import { digestOf, IMAGE, INDEX, imageOf, indexOf, json } from './support/images.ts'
import { cli, top } from './support/program.ts'
import { type Opened, openRegistry } from './support/registry.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR

/** Runs a command in this process, on a folder. */
const run = (t: Test, path: string, ...args: string[]): Promise<Outcome> =>
  runCommand(t, [addGc, addWhy, addRepository, addUploads, addVerify], { STORAGE_PATH: path }, ...args)

interface Folder extends Opened {
  path: string
  run(...args: string[]): Promise<Outcome>
  /** The files that there are. */
  files(): string[]
  pass(ms: number): Promise<void>
}

async function openFolder(t: Test): Promise<Folder> {
  const path = mkdtempSync(join(tmpdir(), 'marina-cli-'))
  t.teardown(() => rmSync(path, { recursive: true, force: true }))
  const registry = await openRegistry(t, await openFilesystem({ path }), { gcIntervalMs: 0 })
  const files = () => readdirSync(path, { recursive: true, encoding: 'utf8' }).sort()
  return { ...registry, path, run: (...args) => run(t, path, ...args), files, pass: ms => age(path, ms) }
}

t.test('gc', async t => {
  const folder = await openFolder(t)
  const untagged = await folder.pushImage('app')
  await folder.pushImage('app', 'v1')
  await folder.pushBlob('team/app', Buffer.from('named by nothing'))
  await folder.pass(DAY + HOUR)
  const before = folder.files()

  const dry = await folder.run('gc', '--dry-run', '--untagged')
  t.match(dry, { code: 0, err: '' })
  t.match(dry.out, /^Nothing was changed\. This would go:\n/)
  t.match(dry.out, /\nmanifests +1\nlinks to blobs +1\n/)
  t.strictSame(folder.files(), before)

  const json = await folder.run('gc', '--json')
  t.match(JSON.parse(json.out), { dryRun: false, repositories: 2, manifests: 0, links: 1, contents: 0, problems: [] })
  t.equal(
    (await folder.getManifest('app', untagged.digest)).status,
    200,
    'an untagged manifest stays unless it is asked for'
  )

  await folder.pushImage('team/app', 'v1')
  const elsewhere = await folder.run('gc', '--untagged', '--json', '--repository', 'team/*')
  t.match(JSON.parse(elsewhere.out), { manifests: 0 })
  const wet = await folder.run('gc', '--untagged', '--repository', 'app')
  t.match(wet.out, /^Collected:\n.*\nmanifests +1\nlinks to blobs +2\n/s)
  t.equal((await folder.getManifest('app', untagged.digest)).status, 404)
  t.equal((await folder.getManifest('app', 'v1')).status, 200)

  await folder.pass(DAY + HOUR)
  const bytes = await folder.run('gc')
  t.match(bytes.out, /\ncontents +3\n.*\n\d+ bytes freed, in [\d.]+ (ms|s)\n$/s)
})

t.test('gc where another collector is at work, or something can not be read', async t => {
  const folder = await openFolder(t)
  const { digest } = await folder.pushImage('app', 'v1')
  await folder.storage.put(GC_LEASE, Buffer.alloc(0))
  const busy = await folder.run('gc')
  t.match(busy, { code: 1, out: '', err: /^CommandError: another collector is at work/ })
  t.match(await folder.run('gc', '--dry-run'), { code: 0 }, 'a dry run is in nobody’s way')
  await folder.pass(DAY + HOUR)
  t.match(await folder.run('gc'), { code: 0 }, 'the lease of one that died lapses')
  t.strictSame(await folder.storage.list(GC_LEASE), [])

  const [record] = folder.files().filter(file => /_manifests.*\./.test(file))
  writeFileSync(join(folder.path, record!), 'damaged')
  const problem = await folder.run('gc')
  t.match(problem, { code: 1, out: /^Collected:\n/, err: new RegExp(`^app: .*${digest}`) })
})

t.test('why', async t => {
  const folder = await openFolder(t)
  const tagged = await folder.pushImage('app', 'v1')
  const untagged = await folder.pushImage('app')
  const index = json(indexOf([{ mediaType: IMAGE, digest: untagged.digest, size: untagged.bytes.length }]))
  await folder.putManifest('app', 'all', index, INDEX)
  const signature = json(
    indexOf([], { subject: { mediaType: IMAGE, digest: tagged.digest, size: tagged.bytes.length } })
  )
  await folder.putManifest('app', digestOf(signature), signature, INDEX)
  const lone = await folder.pushImage('app')
  const blob = await folder.pushBlob('app', Buffer.from('a blob'))
  const why = async (digest: string): Promise<string> => (await folder.run('why', `app@${digest}`)).out
  t.match(await why(lone.digest), /its age keeps it: gc --untagged takes it in 24\.0 h at the earliest/)
  await folder.pass(DAY + HOUR)
  t.match(
    await why(tagged.digest),
    /^manifest, written 1\.0 d ago\n {2}tagged v1\n {2}referred to by .*\n {2}kept by tag v1 → this\n$/
  )
  t.match(await why(untagged.digest), new RegExp(`listed by ${digestOf(index)}\n  kept by tag all → index .* → this\n`))
  t.match(
    await why(digestOf(signature)),
    new RegExp(`refers to ${tagged.digest}\n  kept by tag v1 → subject .* → this\n`)
  )
  t.match(await why(lone.digest), /nothing keeps it: gc --untagged takes it, gc alone does not/)
  t.match(await why(blob), /^blob of 6 bytes, linked 1\.0 d ago .*no manifest names it: its link may go now/s)
  const { config } = JSON.parse(tagged.bytes.toString())
  t.match(await why(config.digest), new RegExp(`named by ${tagged.digest}\n  its manifests keep it`))

  const absent = digestBytes(Buffer.from('absent'))
  t.match(await folder.run('why', `app@${absent}`), {
    code: 1,
    err: `CommandError: app holds no manifest and no blob ${absent}`
  })
  for (const wrong of ['app', 'app:', 'app:v1:v2', `App@${absent}`, 'app@sha256:12', 'app:v1@sha256:12']) {
    const refused = { code: 2, err: /^CommandError: ".*" is not REPOSITORY:TAG or REPOSITORY@DIGEST/ }
    t.match(await folder.run('why', wrong), refused, wrong)
  }
})

t.test('repository delete', async t => {
  const folder = await openFolder(t)
  await folder.pushImage('app', 'v1')
  await folder.pushImage('app/below', 'v1')
  const deleted = await folder.run('repository', 'delete', '--yes', 'app')
  t.match(deleted, { code: 0, out: 'app is deleted: 1 manifests, 2 links to blobs\n' })
  t.equal((await folder.getManifest('app', 'v1')).status, 404)
  t.equal((await folder.getManifest('app/below', 'v1')).status, 200)
  t.match(await folder.run('repository', 'delete', '--yes', 'app'), {
    code: 1,
    err: 'CommandError: there is no repository "app"'
  })
  t.match(await folder.run('repository', 'delete', '--yes', '../app'), { code: 2 })
})

/** Damages one blob and one tag. */
async function damage(folder: Folder): Promise<{ blob: string; image: string }> {
  const { digest: image } = await folder.pushImage('app', 'v1')
  const blob = await folder.pushBlob('team/app', Buffer.from('whole'))
  const [link] = await folder.storage.list(linksOf('team/app', blob as Digest))
  await folder.storage.put(contentKey(parseLink(link!.key).content), Buffer.from('wrong'))
  const reverses = await folder.storage.list(taggedOf('app', image as Digest))
  await folder.storage.delete(reverses.map(({ key }) => key))
  await folder.pass(HOUR)
  return { blob, image }
}

t.test('verify', async t => {
  const folder = await openFolder(t)
  await folder.pushImage('whole', 'v1')
  await folder.pass(HOUR)
  const good = await folder.run('verify')
  t.match(good, { code: 0, err: '', out: /^repositories +1\n.*\ncontents +2\n.* bytes read in .*: nothing wrong\n$/s })

  const { blob, image } = await damage(folder)
  const before = folder.files()
  const bad = await folder.run('verify')
  t.equal(bad.code, 1)
  t.match(bad.out, `fault    reverse-missing    app:v1@${image}: a deletion of its manifest would not find this tag\n`)
  t.match(bad.out, `fault    content-damaged    team/app@${blob}: its bytes are not those of the digest\n`)
  t.match(bad.out, /: 3 faults\n$/)
  t.strictSame(folder.files(), before)
  t.match(await folder.run('verify', '--repository', 'whole'), { code: 0 })
  t.match(await folder.run('verify', '--after', 'app', '--repository', 'app'), { code: 0 })
  t.match(await folder.run('verify', '--after', '@ffffffff'), { code: 0, out: /\ncontents +0\n/ })

  const lines = (await folder.run('verify', '--repair', '--json')).out
    .trim()
    .split('\n')
    .map(line => JSON.parse(line))
  t.match(lines.at(-1), { faults: 3, repaired: 2 })
  t.match(
    lines.slice(0, -1).filter(({ repaired }) => !repaired),
    [{ kind: 'content-damaged', repository: 'team/app', digest: blob }]
  )
  t.match(await folder.run('verify'), { code: 1, out: /: 1 fault\n$/ })
})

t.test('verify that is stopped says where to go on', async t => {
  const folder = await openFolder(t)
  await folder.pushImage('a', 'v1')
  await damage(folder)
  const log = console.log
  t.intercept(console, 'log', {
    value: (...args: unknown[]) => {
      log(...args)
      process.emit('SIGINT')
    }
  })
  const program = new Command().exitOverride()
  addVerify(program, { STORAGE_PATH: folder.path })
  await t.rejects(program.parseAsync(['verify'], { from: 'user' }), { message: 'stopped; go on with --after a' })
  t.equal(
    process.listenerCount('SIGINT', () => {}),
    0
  )
})

t.test('15.24: why takes a tag', async t => {
  const folder = await openFolder(t)
  const { digest } = await folder.pushImage('team/app', 'v1')
  const byDigest = await folder.run('why', `team/app@${digest}`)
  t.match(byDigest, { code: 0, out: /kept by tag v1 → this/ })
  for (const same of ['team/app:v1', `team/app:v1@${digest}`]) {
    t.match(await folder.run('why', same), { code: 0, out: /tagged v1\n.*kept by tag v1 → this/s }, same)
  }
  const json = JSON.parse((await folder.run('why', 'team/app:v1', '--json')).out)
  t.match(json, { repository: 'team/app', digest, manifest: { tags: ['v1'], keepers: [{ tag: 'v1' }] } })
  t.match(await folder.run('why', 'team/app:v2'), { code: 1, err: 'CommandError: team/app has no tag v2' })
})

t.test('15.24: repository list, and a dry run of delete', async t => {
  const folder = await openFolder(t)
  t.match(await folder.run('repository', 'list', '--json'), { code: 0, out: '[]\n' })
  for (const name of ['app', 'team/app', 'team/b']) await folder.pushImage(name, 'v1')
  t.match(await folder.run('repository', 'list'), { code: 0, out: 'app\nteam/app\nteam/b\n' })
  t.strictSame(JSON.parse((await folder.run('repository', 'list', '--json')).out), ['app', 'team/app', 'team/b'])

  const before = folder.files()
  const asked = await folder.run('repository', 'delete', 'app')
  t.match(asked, { code: 2, err: /no terminal: add --yes/ }, 'nobody is there to be asked')
  const dry = await folder.run('repository', 'delete', 'app', '--dry-run')
  t.match(dry, { code: 0, out: 'app would be deleted: 1 manifests, 2 links to blobs\n' })
  t.strictSame(folder.files(), before)
  const json = JSON.parse((await folder.run('repository', 'delete', 'app', '--yes', '--json')).out)
  t.strictSame(json, { repository: 'app', dryRun: false, manifests: 1, links: 2 })
  t.equal((await folder.getManifest('app', 'v1')).status, 404)
})

t.test(
  '15.24: gc --repository says where it matches nothing, and what no repository can be called is misuse',
  async t => {
    const folder = await openFolder(t)
    await folder.pushImage('app', 'v1')
    for (const more of [[], ['--dry-run'], ['--json']]) {
      const outcome = await folder.run('gc', '--repository', 'apps/**', ...more)
      t.match(outcome, { code: 1, out: '', err: /^CommandError: no repository matches "apps\/\*\*"/ }, more.join())
    }
    for (const command of ['gc', 'verify']) {
      t.match(await folder.run(command, '--repository', 'App'), { code: 2, err: /--repository is "App"/ }, command)
    }
  }
)

t.test('15.24: a collection says how far it is', async t => {
  const folder = await openFolder(t)
  for (const name of ['a', 'b', 'c']) await folder.pushImage(name, 'v1')
  const told: CollectProgress[] = []
  const registry = createRegistry({
    storage: folder.storage,
    graceMs: DAY,
    uploadExpiryMs: DAY,
    sparse: 'none',
    cacheBytes: 0,
    log: { debug() {}, info() {}, warn() {}, error() {} }
  })
  const collector = createCollector({ storage: folder.storage, registry, graceMs: DAY, uploadExpiryMs: DAY })
  await collector.collect({ onProgress: progress => told.push(progress) })
  t.strictSame(
    told.map(({ stage, part, position }) => `${stage} ${part.toFixed(2)} ${position}`.trim()),
    ['sessions 0.00', 'repositories 0.33 a', 'repositories 0.67 b', 'repositories 1.00 c', 'contents 0.00']
  )
})

t.test('15.24: an unknown command is called one, with what was meant', async t => {
  const program = createProgram(async () => {})
  const refusal = (...args: string[]): string => {
    try {
      refuseUnknownCommand(program, args)
      return ''
    } catch (error) {
      t.ok(error instanceof UsageError)
      return (error as Error).message
    }
  }
  t.match(refusal('verfiy'), 'unknown command "verfiy"; did you mean `verify`?')
  t.match(refusal('garbage-collect', '--dry-run', 'config.yml'), 'did you mean `gc`?')
  t.match(refusal('serve', 'config.yml'), /"config\.yml" is one: all configuration comes from environment variables/)
  t.match(refusal('/etc/registry/config.yml'), /configuration comes from environment variables/)
  t.match(refusal('nonsense'), /unknown command "nonsense"; there are serve, config, gc, /)
  for (const good of [[], ['serve'], ['gc', '--dry-run'], ['help', 'gc'], ['--help'], ['why', 'app:v1']]) {
    t.equal(refusal(...good), '', good.join(' '))
  }
})

t.test('15.24: every command that prints has --json, and every option and command is completed', async t => {
  const program = createProgram(async () => {})
  const leaves = (command: Command): Command[] =>
    command.commands.length === 0 ? [command] : command.commands.flatMap(leaves)
  const without = leaves(program).filter(({ options }) => !options.some(({ long }) => long === '--json'))
  t.strictSame(
    without.map(command => command.name()),
    ['serve', 'completion']
  )

  const script = completionScript(program, 'bash')
  const complete = (...words: string[]): string[] => {
    const line = words.map(word => `'${word}'`).join(' ')
    const call = `COMP_WORDS=(marina-distribution ${line}); COMP_CWORD=${words.length}; _marina_distribution`
    const { stdout, stderr, status } = spawnSync('bash', [
      '-c',
      `${script}\n${call}\nprintf '%s\\n' "\${COMPREPLY[@]}"`
    ])
    t.strictSame([status, String(stderr)], [0, ''])
    return String(stdout).trim().split('\n')
  }
  t.strictSame(complete('con'), ['config'])
  t.strictSame(complete('config', ''), ['check', 'print', '--help'])
  t.strictSame(complete('repository', 'delete', '--'), ['--dry-run', '--yes', '--force', '--json', '--help'])
  for (const command of leaves(program)) {
    for (const { long } of command.options) {
      for (const shell of ['bash', 'zsh'] as const) t.match(completionScript(program, shell), long!, `${shell} ${long}`)
      t.match(completionScript(program, 'fish'), `-l ${long!.slice(2)} `, `fish ${long}`)
    }
  }
})

t.test('15.24: npm start builds only where the sources are newer than what was built', async t => {
  const root = t.testdir({ build: {}, dist: {}, src: { cli: { 'gc.ts': '', 'why.ts': '' } }, 'package.json': '{}' })
  copyFileSync(join(top, 'build/is-current'), join(root, 'build/is-current'))
  const all = ['build/is-current', 'build', 'src/cli/gc.ts', 'src/cli/why.ts', 'src/cli', 'src', 'package.json']
  const isCurrent = () => spawnSync(join(root, 'build/is-current')).status === 0
  t.notOk(isCurrent(), 'nothing is built')
  writeFileSync(join(root, 'dist/.built'), '')
  const built = statSync(join(root, 'dist/.built')).mtimeMs / 1000
  for (const path of all) utimesSync(join(root, path), built - 10, built - 10)
  t.ok(isCurrent())
  utimesSync(join(root, 'src/cli/gc.ts'), built + 10, built + 10)
  t.notOk(isCurrent(), 'a file has changed')
  utimesSync(join(root, 'src/cli/gc.ts'), built - 10, built - 10)
  t.ok(isCurrent())
  rmSync(join(root, 'src/cli/why.ts'))
  utimesSync(join(root, 'src/cli'), built + 10, built + 10)
  t.notOk(isCurrent(), 'a file is gone')
})

t.test('15.24: --help says in one line what each variable means', async t => {
  const lines = variablesText().split('\n')
  for (const name of variableNames) {
    const found = lines.filter(line => line.startsWith(`  ${name} `))
    t.equal(found.length, 1, name)
    t.match(found[0], /^ {2}\S+ +\S+ +\S.{10,}$/, name)
    t.ok(found[0]!.length <= 140, name)
  }
  t.match(lines, ['Serving, storage, log and collection:'])
})

t.test('a store that can not be opened', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'marina-cli-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  for (const args of [['gc'], ['gc', '--dry-run'], ['verify'], ['repository', 'delete', '--yes', 'app']]) {
    const missing = await run(t, join(folder, 'missing'), ...args)
    t.match(
      missing,
      { code: 1, err: /^CommandError: STORAGE_PATH is .*, and there is no such folder$/ },
      args.join(' ')
    )
  }
  t.strictSame(readdirSync(folder), [], 'and is not made')
  writeFileSync(join(folder, 'file'), '')
  t.match(await run(t, join(folder, 'file'), 'gc'), { code: 1, err: /^StartError: STORAGE_PATH is / })
})

t.test('a progress bar on a terminal', async t => {
  const stream = (isTTY: boolean) => Object.assign(new PassThrough({ encoding: 'utf8' }), { isTTY, columns: 100 })
  const [terminal, file] = [stream(true), stream(false)]
  const bar = await createProgressBar(terminal, { isTTY: true })
  bar.show({ stage: 'contents', part: 0.5, position: '@7f' })
  bar.line('a fault')
  bar.end()
  const drawn = terminal.read() as string
  t.match(drawn, /contents .* 50 %/)
  t.match(drawn, 'a fault\n')

  const lines = t.capture(console, 'log')
  const quiet = await createProgressBar(file)
  quiet.show({ stage: 'contents', part: 0.5, position: '@7f' })
  quiet.line('a fault')
  quiet.end()
  const piped = await createProgressBar(stream(true), { isTTY: false })
  piped.line('another')
  piped.end()
  t.equal(file.read(), null)
  t.strictSame(
    lines().map(({ args }) => args[0]),
    ['a fault', 'another']
  )
})

t.test('sizes and times as people read them', async t => {
  t.strictSame([0, 1023, 1024, 1536, 5 * 1024 ** 3, 2 ** 60].map(bytesText), [
    '0 bytes',
    '1023 bytes',
    '1.0 KiB',
    '1.5 KiB',
    '5.0 GiB',
    '1048576.0 TiB'
  ])
  t.strictSame([0.4, 999, 1000, 90_000, 3 * HOUR, 2.5 * DAY].map(durationText), [
    '0 ms',
    '999 ms',
    '1.0 s',
    '1.5 min',
    '3.0 h',
    '2.5 d'
  ])
})

/** Starts the command line in a process of its own. */
function start(t: Test, env: NodeJS.ProcessEnv, ...args: string[]) {
  const [program, ...first] = cli
  const child = spawn(program, [...first, ...args], {
    cwd: top,
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  t.teardown(() => child.kill('SIGKILL'))
  const seen = { out: '', err: '' }
  child.stdout.setEncoding('utf8').on('data', text => {
    seen.out += text
  })
  child.stderr.setEncoding('utf8').on('data', text => {
    seen.err += text
  })
  const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, ...seen }))
  return { child, seen, ended }
}

async function listening(seen: { out: string }): Promise<Client> {
  for (;;) {
    const port = /"listening at http:\/\/[^"]*:(\d+),/.exec(seen.out)?.[1]
    if (port) {
      return createClient(async (method, path, { headers = {}, body } = {}) => {
        const url = new URL(path, `http://127.0.0.1:${port}`)
        const answer = await fetch(url, {
          method,
          headers: headers as Record<string, string>,
          ...(body && { body: new Uint8Array(body) })
        })
        const bytes = Buffer.from(await answer.arrayBuffer())
        return { status: answer.status, headers: Object.fromEntries(answer.headers), body: bytes }
      })
    }
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}

t.test('15.16: READ_ONLY and DELETE_ENABLED=false bind the commands too', async t => {
  const { path, pushImage, files } = await openFolder(t)
  await pushImage('app', 'v1')
  const before = files()
  const with_ = (env: NodeJS.ProcessEnv, ...args: string[]): Promise<Outcome> =>
    runCommand(t, [addGc, addRepository, addVerify, addToken, addUploads], { STORAGE_PATH: path, ...env }, ...args)
  const create = ['token', 'create', '--name', 'ci', '--repository', '**']
  for (const [env, line, commands] of [
    [
      { READ_ONLY: 'true' },
      'READ_ONLY is true, and this would change the registry; allowed: with --force',
      [
        ['gc'],
        ['gc', '--untagged'],
        ['verify', '--repair'],
        ['repository', 'delete', 'app', '--yes'],
        ['repository', 'delete', 'app'],
        ['uploads', 'abort', '--idle', '1s'],
        create
      ]
    ],
    [
      { DELETE_ENABLED: 'false' },
      'DELETE_ENABLED is false, and this would delete manifests; allowed: with --force',
      [
        ['gc', '--untagged'],
        ['repository', 'delete', 'app', '--yes'],
        ['repository', 'delete', 'app']
      ]
    ]
  ] as const) {
    for (const args of commands) {
      t.match(await with_(env, ...args), { code: 1, out: '', err: `CommandError: ${line}` }, args.join(' '))
    }
  }
  t.strictSame(files(), before, 'nothing was changed')
  for (const args of [
    ['gc', '--dry-run'],
    ['verify'],
    ['repository', 'list'],
    ['repository', 'delete', 'app', '--dry-run'],
    ['token', 'list']
  ]) {
    t.match(await with_({ READ_ONLY: 'true', DELETE_ENABLED: 'false' }, ...args), { code: 0 }, args.join(' '))
  }
  t.strictSame(files(), before, 'what only reads writes nothing')
  t.match(await with_({ DELETE_ENABLED: 'false' }, 'gc'), { code: 0 }, 'what nothing needs is no deletion')
  t.match(await with_({ READ_ONLY: 'true' }, ...create, '--force'), { code: 0 })
  t.match(await with_({ READ_ONLY: 'true' }, 'token', 'revoke', 'ci'), { code: 0 }, 'a right can always be taken away')
  const forced = await with_(
    { READ_ONLY: 'true', DELETE_ENABLED: 'false' },
    'repository',
    'delete',
    'app',
    '--yes',
    '--force'
  )
  t.match(forced, { code: 0, out: /^app is deleted/ })
})

t.test(
  "15.15: commands of root leave nothing that the folder's owner can't change",
  { skip: process.getuid?.() === 0 ? false : 'only root can become somebody else' },
  async t => {
    const owner = 10001
    const path = mkdtempSync(join(tmpdir(), 'marina-cli-'))
    t.teardown(() => rmSync(path, { recursive: true, force: true }))
    const registry = await openRegistry(t, await openFilesystem({ path }), { gcIntervalMs: 0 })
    await registry.pushImage('app', 'v1')
    await registry.pushImage('gone', 'v1')
    await age(path, 3 * DAY)
    const everything = (): string[] => [
      path,
      ...readdirSync(path, { recursive: true, encoding: 'utf8' }).map(name => join(path, name))
    ]
    for (const name of everything()) chownSync(name, owner, owner)
    const token = ['token', 'create', '--name', 'ci', '--repository', '**']
    for (const args of [
      ['repository', 'delete', 'gone', '--yes'],
      ['gc', '--untagged'],
      ['verify', '--repair'],
      token
    ]) {
      t.match(await start(t, { STORAGE_PATH: path }, ...args).ended, { code: 0 }, args.join(' '))
    }
    const foreign = everything().filter(name => statSync(name).uid !== owner)
    t.strictSame(foreign, [])
  }
)

t.test('commands beside a server, in processes of their own', async t => {
  const path = mkdtempSync(join(tmpdir(), 'marina-cli-'))
  t.teardown(() => rmSync(path, { recursive: true, force: true }))
  const env = { STORAGE_PATH: path, HOST: '127.0.0.1', PORT: '0', LOG_FORMAT: 'json' }
  const server = start(t, env)
  const client = await listening(server.seen)
  const untagged = await client.pushImage('app')
  await age(path, DAY + HOUR)
  const gc = start(t, env, 'gc', '--untagged', '--json')
  const pushed: string[] = []
  let ended = false
  void gc.ended.then(() => {
    ended = true
  })
  while (!ended) pushed.push((await client.pushImage('app', `v${pushed.length}`)).digest)
  const collected = await gc.ended
  t.match(collected, { code: 0, err: '' })
  t.match(JSON.parse(collected.out), { manifests: 1, links: 2 })
  t.equal((await client.getManifest('app', untagged.digest)).status, 404, 'the server sees what went')
  for (const digest of pushed) t.equal((await client.getManifest('app', digest)).status, 200)
  t.ok(pushed.length > 1, `${pushed.length} images were pushed meanwhile`)

  const image = json(imageOf(Buffer.from('{}'), []))
  t.equal(
    (await client.putManifest('app', 'v', image)).status,
    404 - 4,
    'a blob that is not there is not taken for one'
  )
  const verify = await start(t, env, 'verify').ended
  t.match(verify, { code: 0, err: '', out: /nothing wrong\n$/ })
  // One that a repository holds: what the collection has unlinked stays for a while, and is nobody's any more.
  const links = readdirSync(join(path, 'repositories/app/_blobs'), { recursive: true, encoding: 'utf8' })
  const content = links.flatMap(name => /\.([\w-]+)\.\d+$/.exec(name)?.[1] ?? [])[0]!
  writeFileSync(join(path, 'content', content.slice(0, 2), content), 'damaged')
  t.match(await start(t, env, 'verify').ended, { code: 1, err: '', out: /content-damaged .*\n.*fault/s })
  t.match(await start(t, env, 'why', 'app').ended, {
    code: 2,
    out: '',
    err: /^"app" is not REPOSITORY:TAG or REPOSITORY@DIGEST[^\n]*\n$/
  })
  server.child.kill('SIGTERM')
  t.match(await server.ended, { code: 0 })
})

t.test('15.29: uploads list, uploads abort', async t => {
  const folder = await openFolder(t)
  const begin = async (id: string, bytes: string) => {
    const source = (async function* () {
      yield Buffer.from(bytes)
    })()
    await folder.storage.append(id, source, { key: `content/aa/${id}`, from: undefined, writer: 'w' })
  }
  await begin('first', 'a'.repeat(2048))
  await folder.pass(HOUR)
  await begin('second', 'b')
  await begin('third', 'c')
  const listed = await folder.run('uploads', 'list')
  t.match(listed.out, /^first +2\.0 KiB, idle for 1\.0 h\n(second|third) +1 bytes, idle for .*\n.*\n$/)
  const json = JSON.parse((await folder.run('uploads', 'list', '--json')).out)
  t.match(json, [{ id: 'first', size: 2048, idleMs: Number }, { size: 1 }, { size: 1 }])

  t.match(await folder.run('uploads', 'abort'), { code: 2, err: /nothing was named; allowed: / })
  t.match(await folder.run('uploads', 'abort', 'fourth'), { code: 1, err: /there is no upload "fourth"/ })
  t.match(await folder.run('uploads', 'abort', '--idle', 'long'), { code: 2, err: /--idle is "long"; allowed: / })
  t.match(await folder.run('uploads', 'abort', '--idle', '30m'), { code: 0, out: '1 upload aborted, 2.0 KiB freed\n' })
  t.match(await folder.run('uploads', 'abort', 'second'), { code: 0, out: '1 upload aborted, 1 bytes freed\n' })
  t.match((await folder.run('uploads', 'list')).out, /^third [^\n]*\n$/)
  const ended = JSON.parse((await folder.storage.get(endedKey('first')))!.bytes.toString())
  t.match(ended, { digest: '' }, 'nobody goes on with it')
})
