import type { Results } from './figures.ts'
import type { Peer } from './peers.ts'
import type { Run, Scenario } from './scenario.ts'
import { type Server, startServer } from './server.ts'

export interface Rounds {
  rounds: number
  seconds: number
  peers: readonly Peer[]
  /** Folders that servers are started in. */
  memory: string
  disk: string
  results: Results
}

const warmUpSeconds = 1

/** Those that share a server: all servers run, each is given the work in turn, round after round. */
export async function runShared(scenarios: readonly Scenario[], rounds: Rounds): Promise<void> {
  const { results, disk, seconds } = rounds
  if (scenarios.length === 0) return
  const servers: Server[] = []
  for (const peer of rounds.peers) {
    if (scenarios.some(({ peers }) => peers.includes(peer.name))) servers.push(await startServer(peer, disk))
  }
  for (const scenario of scenarios) {
    const able: Server[] = []
    for (const server of servers.filter(({ peer }) => scenario.peers.includes(peer.name))) {
      const ready = await attempt(results, scenario, server.peer, async () => {
        await scenario.prepare?.(server)
        await scenario.run(server, { round: 0, seconds: warmUpSeconds, warmUp: true })
      })
      if (ready) able.push(server)
    }
    for (let round = 1; round <= rounds.rounds; round++) {
      for (const server of able) await measure(results, scenario, server, { round, seconds, warmUp: false })
      await runPlain(results, scenario)
    }
  }
  for (const server of servers) await server.stop()
}

/** One with a fresh server for every run. */
export async function runFresh(scenario: Scenario, rounds: Rounds): Promise<void> {
  const { results, seconds } = rounds
  const folder = scenario.on === 'memory' ? rounds.memory : rounds.disk
  const failed = new Set<Peer>()
  for (let round = 1; round <= rounds.rounds; round++) {
    for (const peer of rounds.peers.filter(({ name }) => scenario.peers.includes(name))) {
      if (failed.has(peer)) continue
      const server = await startServer(peer, folder)
      const ready = await attempt(results, scenario, peer, async () => scenario.prepare?.(server))
      if (!ready || !(await measure(results, scenario, server, { round, seconds, warmUp: false }))) failed.add(peer)
      await server.stop()
    }
    await runPlain(results, scenario)
  }
}

async function measure(results: Results, scenario: Scenario, server: Server, run: Run): Promise<boolean> {
  return attempt(results, scenario, server.peer, async () => {
    const outcome = await scenario.run(server, run)
    const { peakMebibytes } = await server.use()
    results.add(server.peer.name, { ...outcome, peak: { mebibytes: peakMebibytes } })
    console.log(`${scenario.name} ${run.round} ${server.peer.name} ${JSON.stringify(outcome)}`)
  })
}

async function runPlain(results: Results, { name, plain = {} }: Scenario): Promise<void> {
  for (const who of Object.keys(plain) as (keyof typeof plain)[]) {
    const outcome = await plain[who]!()
    results.add(who, outcome)
    console.log(`${name} ${who} ${JSON.stringify(outcome)}`)
  }
}

/** A peer that fails at something has no figure for it; the table says why. */
async function attempt(results: Results, { name }: Scenario, peer: Peer, run: () => Promise<void>): Promise<boolean> {
  try {
    await run()
    return true
  } catch (error) {
    const [reason = ''] = (error instanceof Error ? error.message : String(error)).split('\n')
    results.note(`${peer.title} has no figure for \`${name}\`: ${reason}`)
    console.log(`${name} ${peer.name} FAILED: ${reason}`)
    return false
  }
}
