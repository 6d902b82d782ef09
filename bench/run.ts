/** `npm run bench`: this registry and others given the same work in turn; writes results.md and results.svg. */
import { execFileSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createResults, type Results } from './figures.ts'
import { machine } from './machine.ts'
import { findPeers, type Peer } from './peers.ts'
import { picture } from './picture.ts'
import { runFresh, runShared } from './rounds.ts'
import type { Bench, Scenario } from './scenario.ts'
import { largeScenarios } from './scenarios/large.ts'
import { listScenarios } from './scenarios/lists.ts'
import { pushScenarios } from './scenarios/pushes.ts'
import { readScenarios } from './scenarios/reads.ts'
import { startScenarios } from './scenarios/start.ts'
import { parseSettings, type Settings, usage } from './settings.ts'
import { type Column, tables } from './table.ts'

const settings = settingsOf(process.argv.slice(2))
const { present, missing } = findPeers()
const results = createResults()
for (const text of missing) results.note(text)
const memory = await mkdtemp('/dev/shm/marina-bench-')
const disk = await mkdtemp(join(tmpdir(), 'marina-bench-'))
// Also when it is interrupted: what lies on tmpfs is memory.
process.once('exit', () => {
  for (const folder of [memory, disk]) rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
})
const bench: Bench = { settings, memory, disk, note: results.note }
const scenarios = wanted([
  ...startScenarios(bench, present[0]!),
  ...readScenarios(),
  ...listScenarios(bench),
  ...pushScenarios(),
  ...largeScenarios(bench)
])
const rounds = { rounds: settings.rounds, seconds: settings.seconds, peers: present, memory, disk, results }
for (const scenario of scenarios) if (scenario.on !== 'shared') await runFresh(scenario, rounds)
await runShared(
  scenarios.filter(({ on }) => on === 'shared'),
  rounds
)
await write(results)
process.exit()

function settingsOf(args: string[]): Settings {
  try {
    return parseSettings(args)
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n${usage}`)
    return process.exit(1)
  }
}

function wanted(scenarios: Scenario[]): Scenario[] {
  const { only } = settings
  const unknown = only.find(name => !scenarios.some(scenario => scenario.name === name))
  if (unknown !== undefined) throw new Error(`No scenario is named "${unknown}": ${scenarios.map(({ name }) => name)}`)
  return only.length === 0 ? scenarios : scenarios.filter(({ name }) => only.includes(name))
}

async function write(results: Results): Promise<void> {
  const columns: Column[] = [
    ...present.map(({ name, title }) => ({ name, title })),
    { name: 'openssl', title: 'openssl' },
    { name: 'dd', title: 'dd' }
  ]
  const notes = results.notes.map(note => `- ${note}\n`).join('')
  const text = `# Side by side

Written by \`npm run bench\`; [README.md](README.md) tells how it is made and how to read it.

![How many times better than others](results.svg)

${conditions(present)}
${notes && `\n${notes}`}
${tables(results, columns)}`
  if (settings.out === undefined) return console.log(text)
  await writeFile(join(settings.out, 'results.md'), text)
  await writeFile(join(settings.out, 'results.svg'), picture(results, columns))
}

/** What a reader has to know to compare. */
function conditions(peers: readonly Peer[]): string {
  const openssl = execFileSync('openssl', ['version'], { encoding: 'utf8' }).split(' ').slice(0, 2).join(' ')
  const { rounds, seconds, largeBytes, tags, objects } = settings
  return [
    `- ${machine()}`,
    `- ${peers.map(({ title, version }) => `${title} ${version}`).join(', ')}, ${openssl}`,
    `- medians of ${rounds} rounds, ${seconds} s a run of small requests, large blobs of ${largeBytes / 2 ** 20} MiB, very many tags: ${tags.toLocaleString('en')}, a full folder: ${objects.toLocaleString('en')} files`
  ].join('\n')
}
