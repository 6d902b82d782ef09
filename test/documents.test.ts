import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Command } from 'commander'
import t from 'tap'
import { createProgram } from '../src/cli/program.ts'
import { freePort } from './reliability/program.ts'
import { blocksIn, blocksToRun, codeInText, isCommands, replaced } from './support/documents.ts'
import { cli, placeProgram, top } from './support/program.ts'

const read = (file: string): string => readFileSync(join(top, file), 'utf8')

const documents = [
  ...['README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'examples/README.md', 'bench/README.md'],
  ...readdirSync(join(top, 'docs'))
    .filter(name => name.endsWith('.md'))
    .map(name => `docs/${name}`)
]

/** Languages of blocks that hold no commands. */
const others = ['', 'js', 'json', 'text', 'yaml']
const looksLikeCommands =
  /^\$ |^(aws|crane|docker|git|helm|kubectl|marina-distribution|npm|npx|oras|podman|skopeo) [a-z]/m

/** What no test can run, and why. */
const notRun: [document: string, heading: string, why: string][] = [
  [
    'README.md',
    'Quick start',
    '.ci/run consists of these commands from a fresh clone on, test/package starts the server'
  ],
  ['CONTRIBUTING.md', 'Getting started', 'as above: a test can not run all tests'],
  ['bench/README.md', 'Side by side', 'takes an idle machine for half an hour'],
  ['docs/access.md', 'In a workflow', 'logs in to a host of yours; test/clients/login.ts logs in here'],
  ['docs/conformance.md', 'Conformance', 'needs the program of the suite'],
  ['docs/conformance.md', 'Compiling the binary', 'clones the specification from its public place'],
  ['docs/development.md', 'Real clients', '.ci/run has these commands'],
  ['docs/development.md', 'Storage in S3', 'test/s3/suites.ts runs such files with these variables'],
  ['docs/s3.md', 'A second net for abandoned uploads', 'neither MinIO nor versitygw takes such a rule']
]

/** Files that come to be where somebody runs the suite, as the document says. */
const comeToBe = ['test/conformance/conformance.test', 'test/conformance/registry.log']

/** The blocks that tests say they run: a document, how many, and the heading where it is not all of them. */
const run = readdirSync(join(top, 'test'), { recursive: true, encoding: 'utf8' })
  .filter(name => name.endsWith('.ts'))
  .flatMap(name => [
    ...read(join('test', name)).matchAll(/\bblocksToRun\(\s*'([^']+)',\s*(\d+)(?:,\s*(['"])(.+?)\3)?\s*\)/g)
  ])
  .map(([, document, commands, , heading]) => ({ document: document!, commands: Number(commands), heading }))

t.test('each block with commands is run by a test, as it is written', async t => {
  const listed = new Set<string>()
  for (const document of documents) {
    const blocks = blocksIn(document).filter(isCommands)
    for (const heading of new Set(blocks.map(block => block.heading))) {
      const here = blocks.filter(block => block.heading === heading)
      const place = `${document}, ${heading}`
      const excepted = notRun.some(([where, title]) => where === document && title === heading)
      if (excepted) listed.add(place)
      const all = run.some(by => by.document === document && by.heading === undefined && by.commands === blocks.length)
      const own = run.some(by => by.document === document && by.heading === heading && by.commands === here.length)
      t.equal(all || own, !excepted, `${place}: ${excepted ? 'is listed as what no test runs' : 'is run by a test'}`)
    }
  }
  t.strictSame(
    notRun.map(([document, heading]) => `${document}, ${heading}`),
    [...listed],
    'what is listed is there, in its order'
  )
})

t.test('nothing that looks like commands is in a block of another language', async t => {
  for (const document of documents) {
    for (const block of blocksIn(document)) {
      if (isCommands(block)) continue
      t.ok(others.includes(block.language), `${document}, ${block.heading}: ${block.language}`)
      t.notMatch(block.body, looksLikeCommands, `${document}, ${block.heading}`)
    }
  }
})

t.test('the files, scripts and commands that the text speaks of are there', async t => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }
  const ours = createProgram(async () => {})
  let seen = 0
  const found = (there: boolean, what: string): void => {
    t.ok(there, what)
    seen++
  }
  for (const document of documents) {
    for (const code of codeInText(document)) {
      const what = `${document}: ${code}`
      const [file] = /^(\.ci|bench|docs|examples|plugins|routes|src|test)\/[\w./-]+/.exec(code) ?? []
      if (file && !/[<*…]/.test(code)) found(comeToBe.includes(file) || existsSync(join(top, file)), what)
      const [, script] = /^npm (?:run )?(test|start|(?<=run )[\w:-]+)/.exec(code) ?? []
      if (script) found(script in scripts, what)
      const [, own] = /^(?:.* )?(?<!-t )marina-distribution (.+)|^npm start -- (.+)/.exec(code)?.filter(Boolean) ?? []
      const [name = '', ...rest] = (own ?? code).split(' ')
      let command = ours.commands.find(command => command.name() === name)
      if (own !== undefined) found(command !== undefined || name.startsWith('-'), what)
      for (const word of rest) {
        const below: Command | undefined = command?.commands.find(command => command.name() === word)
        if (below) command = below
        if (command && word.startsWith('--'))
          found(
            command.options.some(({ long }) => long === word),
            what
          )
      }
    }
  }
  t.ok(seen > 100, `${seen} were looked for`)
})

t.test('README.md, Configuration: the registry starts with the variables that are used most', async t => {
  const [folder, port] = [t.testdir({}), await freePort()]
  // `npm start` builds first; this is the same program as it stands.
  placeProgram(folder, 'npm', `[ "$*" = start ] && exec ${cli.join(' ')}`)
  const [block] = blocksToRun('README.md', 1, 'Configuration')
  const command = replaced(block!.body, { '=8080': `=${port}`, '=/srv/registry': `=${join(folder, 'registry')}` })
  const env = { PATH: `${folder}:${process.env.PATH}`, HOST: '127.0.0.1', LOG_LEVEL: 'warn' }
  const server = spawn('bash', ['--norc', '-euc', `exec env ${command}`], { env, stdio: 'inherit' })
  const ended = once(server, 'exit')
  t.teardown(async () => {
    server.kill('SIGTERM')
    await ended
  })
  const remove = () => fetch(`http://127.0.0.1:${port}/v2/app/manifests/v1`, { method: 'DELETE' })
  let status = 0
  for (let tries = 0; tries < 1200 && status === 0 && server.exitCode === null; tries++) {
    await sleep(50)
    status = await remove().then(
      answer => answer.status,
      () => 0
    )
  }
  t.equal(status, 405, 'DELETE_ENABLED=false')
  t.ok(existsSync(join(folder, 'registry')), 'STORAGE_PATH')
})
