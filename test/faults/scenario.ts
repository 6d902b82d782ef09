import type { Client } from '../support/client.ts'
import { IMAGE, imageOf, json } from '../support/images.ts'
import { SHARED } from './blob-operations.ts'
import type { Chance } from './chance.ts'
import type { Ledger } from './ledger.ts'
import type { Operation } from './operation.ts'
import { createPusher, type Pusher } from './pusher.ts'

/** Blobs for mounts, of an image that stays. */
export const SHARED_BLOBS: readonly Buffer[] = [
  json({ architecture: 'amd64', os: 'linux' }),
  Buffer.alloc(500, 'shared'),
  Buffer.alloc(80_000, 'shared')
]

export interface ScenarioOptions {
  client: Client
  ledger: Ledger
  chance: Chance
  /** Clients at once. */
  pushers: number
  begun?(operation: Operation): void
  ended?(operation: Operation): void
}

/** An operation that was not answered, or not as it should be. */
export interface Failure {
  operation: Operation
  error: unknown
}

export interface Scenario {
  /** Each client does so many operations, all clients at the same time; one that fails stops its client. */
  round(operations: number): Promise<Failure[]>
  /** The clients do again what failed, and remember it. Throws when it fails once more. */
  again(failures: readonly Failure[]): Promise<void>
  /** What no image needs may be gone from now on. */
  forget(): void
}

const ignore = (): void => {}

/** Clients that each write to a repository of their own, in every way that there is. Mounts need `prepareShared`. */
export function createScenario(options: ScenarioOptions): Scenario {
  const { client, ledger, chance, pushers, begun = ignore, ended = ignore } = options
  const all: Pusher[] = Array.from({ length: pushers }, (_, number) =>
    createPusher(`team/pusher-${number}`, SHARED_BLOBS, chance)
  )

  async function work(pusher: Pusher, operations: number): Promise<Failure[]> {
    for (let left = operations; left > 0; left--) {
      const operation = pusher.next()
      begun(operation)
      try {
        const remember = await operation.run(client, ledger, false)
        ended(operation)
        remember()
      } catch (error) {
        return [{ operation, error }]
      }
    }
    return []
  }

  return {
    round: async operations => (await Promise.all(all.map(pusher => work(pusher, operations)))).flat(),
    again: async failures => {
      for (const { operation } of failures) {
        const remember = await operation.run(client, ledger, true).catch(error => {
          throw new Error(`done again, the ${operation.name}: ${error.message}`, { cause: error })
        })
        remember()
      }
    },
    forget: () => {
      for (const pusher of all) pusher.forget(ledger)
    }
  }
}

/** Pushes the image whose blobs are mounted. */
export async function prepareShared(client: Client): Promise<void> {
  const [config, ...layers] = SHARED_BLOBS
  for (const blob of SHARED_BLOBS) await client.pushBlob(SHARED, blob)
  await client.must(201, client.putManifest(SHARED, 'base', json(imageOf(config!, layers)), IMAGE))
}
