import { digestOf, seededBuffer } from '../../test/reliability/bytes.ts'
import { configOf, imageOf } from '../content.ts'
import { pushImage } from '../corpus.ts'
import { rateOf } from '../drive.ts'
import { clients, registries, type Scenario } from '../scenario.ts'

export const smallRepository = 'small/image'
export const smallTag = 'v1'
export const smallConfig = configOf(2048)
export const smallLayers: Buffer[] = [seededBuffer(1, 4096)]

const manifest = Buffer.from(JSON.stringify(imageOf(smallConfig, smallLayers)))
export const byTag = `/v2/${smallRepository}/manifests/${smallTag}`
const byDigest = `/v2/${smallRepository}/manifests/${digestOf(manifest)}`
const blob = `/v2/${smallRepository}/blobs/${digestOf(smallConfig)}`

/** Small reads of one image, each a scenario. */
export function readScenarios(): Scenario[] {
  return [
    read('manifest-by-tag', 'GET', byTag, manifest.length),
    read('manifest-by-digest', 'GET', byDigest, manifest.length),
    read('manifest-head', 'HEAD', byTag, 0),
    read('blob-head', 'HEAD', blob, 0),
    read('blob-2k', 'GET', blob, smallConfig.length),
    read('one-client', 'GET', byTag, manifest.length, 1)
  ]
}

function read(name: string, method: 'GET' | 'HEAD', path: string, bytes: number, connections = clients): Scenario {
  return {
    name,
    on: 'shared',
    peers: registries,
    prepare: async server => {
      await pushImage(server, smallRepository, smallTag, smallConfig, smallLayers)
    },
    run: async (server, { seconds }) => ({
      [name]: await rateOf(server, { clients: connections, seconds, task: { kind: 'request', method, path, bytes } })
    })
  }
}
