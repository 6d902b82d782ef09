import { largeDigest } from '../content.ts'
import { rateOf, timeOf } from '../drive.ts'
import type { Scenario } from '../scenario.ts'
import type { Server } from '../server.ts'
import type { Way } from '../tasks.ts'

const peers = ['marina', 'distribution'] as const
const images = 200
const warmUpImages = 20
const clients = 8
const warmUpBytes = 32 * 2 ** 20
/** Of a large blob: one alone takes a second, and differs from the next by a third. */
const pulls = 5
/** Of the seeds of contents, so that what is pushed one way is not there when it is pushed another way. */
const seedsOfWay = 1000

/** Pushes and pulls of registries that keep their content in a bucket. */
export function s3Scenarios(largeBytes: number): Scenario[] {
  return [small, large(largeBytes)]
}

const small: Scenario = {
  name: 's3-small',
  on: 'shared',
  peers,
  run: async (server, { round, warmUp }) => {
    const count = warmUp ? warmUpImages : images
    const repository = `small/round-${round}`
    const task = (kind: 'push-small-images' | 'pull-small-images') =>
      rateOf(server, { clients, count, task: { kind, repository, set: repository } })
    return { 's3-small-push': await task('push-small-images'), 's3-small-pull': await task('pull-small-images') }
  }
}

const large = (largeBytes: number): Scenario => ({
  name: 's3-large',
  on: 'shared',
  peers,
  run: async (server, { round, warmUp }) => {
    const size = warmUp ? warmUpBytes : largeBytes
    const path = `/v2/${repository}/blobs/${largeDigest(round, size)}`
    return {
      's3-large-push': await push(server, round, size, 'put'),
      's3-large-push-chunked': await push(server, round + seedsOfWay, size, 'patch'),
      's3-large-pull': await timeOf(server, {
        clients: 1,
        count: pulls,
        task: { kind: 'request', method: 'GET', path, bytes: size }
      })
    }
  }
})

/** For servers that send their clients to the bucket. */
export const redirected = (largeBytes: number): Scenario => ({
  name: 's3-redirect',
  on: 'shared',
  peers,
  run: async (server, { round, warmUp }) => {
    const bytes = warmUp ? warmUpBytes : largeBytes
    await push(server, round, bytes, 'put')
    const path = `/v2/${repository}/blobs/${largeDigest(round, bytes)}`
    const task = { kind: 'pull-redirected', path, bytes } as const
    return { 's3-redirect-pull': await timeOf(server, { clients: 1, count: pulls, task }) }
  }
})

const repository = 'large/blob'

function push(server: Server, seed: number, size: number, way: Way) {
  const task = { kind: 'push-large', repository, size, digests: [largeDigest(seed, size)], way, seed } as const
  return timeOf(server, { clients: 1, count: 1, task })
}
