/**
 * `npm run bench:features`: what access control and metrics cost: the same requests to this registry without them and
 * with them. Ends with `N passed, N failed`.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { hashPassword } from '../src/access/passwords.ts'
import { withScratch } from '../test/reliability/scratch.ts'
import { basic } from '../test/support/callers.ts'
import { medianOf } from './figures.ts'
import { ownPeer, type Peer, type Place } from './peers.ts'
import type { Run } from './scenario.ts'
import { pushScenarios } from './scenarios/pushes.ts'
import { readScenarios } from './scenarios/reads.ts'
import { type Server, startServer } from './server.ts'

/** With all of it a request may take so many times the processor time. */
const LIMIT = 1.15
/** Until the compiler has done with what is run often. */
const warmUpSeconds = 4
const works = [
  'manifest-by-tag',
  'manifest-by-digest',
  'manifest-head',
  'blob-head',
  'blob-2k',
  'push-blobs',
  'push-tags'
]

/** What Alice may do is said last. */
const POLICY = `
groups:
  developers: [bob, alice]
rules:
  - { users: [ci], repositories: ['team/**'], actions: [pull, push] }
  - { anonymous: true, repositories: ['public/**'], actions: [pull] }
  - { groups: [developers], repositories: ['**'], actions: ['*'] }
`

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '5' }, seconds: { type: 'string', default: '2' } }
})
const [rounds, seconds] = [Number(values.rounds), Number(values.seconds)]

await withScratch(60, async ({ check }, { folder }) => {
  const plain = await startServer(ownPeer(storageOf), folder)
  for (const [what, peer] of Object.entries(await features(folder))) {
    const other = await startServer(peer, folder)
    for (const work of works) await check(`${what}: ${work}`, () => compare(plain, other, work))
    await other.stop()
  }
  await plain.stop()
})

function storageOf({ storage }: Place) {
  return { STORAGE_PATH: storage }
}

/** The registry with what is to be measured switched on. */
async function features(folder: string): Promise<Record<string, Peer>> {
  const [users, policy] = [join(folder, 'users'), join(folder, 'policy.yaml')]
  await writeFile(users, `alice:${await hashPassword('a password')}\n`)
  await writeFile(policy, POLICY)
  const access = { AUTH_HTPASSWD_FILE: users, AUTH_POLICY_FILE: policy }
  const { authorization } = basic('alice', 'a password')
  return {
    'access control': { ...ownPeer(place => ({ ...storageOf(place), ...access })), authorization },
    metrics: ownPeer(place => ({ ...storageOf(place), METRICS_PORT: '0' }))
  }
}

async function compare(plain: Server, other: Server, work: string): Promise<string> {
  const scenario = [...readScenarios(), ...pushScenarios()].find(({ name }) => name === work)!
  const servers = [plain, other] as const
  const costOf = async (server: Server, run: Run) => 1 / (await scenario.run(server, run))[work]!.perCpuSecond!
  for (const server of servers) {
    await scenario.prepare?.(server)
    await costOf(server, { round: 0, seconds: warmUpSeconds, warmUp: true })
  }
  const costs: number[] = []
  for (let round = 1; round <= rounds; round++) {
    const run = { round, seconds, warmUp: false }
    const [without, withIt] = [await costOf(plain, run), await costOf(other, run)]
    costs.push(withIt / without)
  }
  const cost = medianOf(costs)
  const told = `${cost.toFixed(2)} times the processor time`
  if (cost > LIMIT) throw new Error(told)
  return told
}
