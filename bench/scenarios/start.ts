import { mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Peer } from '../peers.ts'
import { type Bench, registries, type Scenario } from '../scenario.ts'
import { seedRegistry } from '../seed.ts'
import { startServer } from '../server.ts'

const restMs = 2000

/** The start, on an empty folder and on a full one, and memory at rest. */
export function startScenarios(bench: Bench, own: Peer): Scenario[] {
  let seeded: Promise<string> | undefined
  const seed = async (): Promise<string> => {
    const folder = await mkdtemp(join(bench.disk, 'seeded-'))
    seedRegistry(folder, bench.settings.objects)
    return folder
  }
  return [
    {
      name: 'start',
      on: 'disk',
      peers: registries,
      run: async server => {
        await sleep(restMs)
        const { residentMebibytes } = await server.use()
        return { start: { seconds: server.startSeconds }, idle: { mebibytes: residentMebibytes } }
      }
    },
    {
      name: 'start-full',
      on: 'disk',
      peers: [],
      run: async () => ({}),
      plain: {
        marina: async () => {
          seeded ??= seed()
          const server = await startServer(own, bench.disk, await seeded)
          await server.stop()
          return { 'start-full': { seconds: server.startSeconds } }
        }
      }
    }
  ]
}
