import { seededBuffer } from '../../test/reliability/bytes.ts'
import { configOf } from '../content.ts'
import { pushImage } from '../corpus.ts'
import { drive, rateOf } from '../drive.ts'
import { clients, registries, type Scenario } from '../scenario.ts'
import { smallConfig, smallLayers } from './reads.ts'

const tags = 2000
const tagsLimitSeconds = 30

/** Small pushes, and pushes and pulls of images together. */
export function pushScenarios(): Scenario[] {
  return [pushBlobs, pushTags, mix]
}

const pushBlobs: Scenario = {
  name: 'push-blobs',
  on: 'shared',
  peers: registries,
  run: async (server, { seconds }) => {
    const task = { kind: 'push-blob', repository: 'pushed/small', size: 4096 } as const
    return { 'push-blobs': await rateOf(server, { clients, seconds, task }) }
  }
}

const pushTags: Scenario = {
  name: 'push-tags',
  on: 'shared',
  peers: registries,
  run: async (server, { round, seconds, warmUp }) => {
    const repository = warmUp ? 'pushed/warm' : `pushed/tags-${round}`
    const { manifest } = await pushImage(server, repository, 'base', smallConfig, smallLayers)
    const task = { kind: 'push-manifest', repository, manifest, by: 'tag' } as const
    const limit = warmUp ? seconds : tagsLimitSeconds
    return { 'push-tags': await rateOf(server, { clients, count: tags, seconds: limit, task }) }
  }
}

const mixed = 'mixed/image'
const mixedConfig = configOf(4000)
// 32 KiB to 4 MiB: most layers of real images are small, most bytes are in few.
const mixedLayers = [15, 16, 17, 18, 19, 20, 21, 22].map(power => seededBuffer(power, 2 ** power))

const mix: Scenario = {
  name: 'mix',
  on: 'shared',
  peers: registries,
  prepare: async server => {
    await pushImage(server, mixed, 'latest', mixedConfig, mixedLayers)
  },
  run: async (server, { seconds }) => {
    const { manifest } = await pushImage(server, mixed, 'latest', mixedConfig, mixedLayers)
    const digests = [manifest.config, ...manifest.layers].map(({ digest }) => digest)
    const { results, cpuSeconds } = await drive(server, [
      { clients: 32, seconds, task: { kind: 'pull-image', repository: mixed, tag: 'latest', digests } },
      { clients: 4, seconds, task: { kind: 'push-image', repository: mixed, base: manifest, layerBytes: 2 ** 20 } }
    ])
    const [pulls, pushes] = results.map(({ done, seconds, p50, p99 }) => ({ perSecond: done / seconds, p50, p99 }))
    return { 'mix-pulls': { ...pulls!, perCpuSecond: results[0]!.done / cpuSeconds }, 'mix-pushes': pushes! }
  }
}
