import { parseDigest } from '../../src/registry/digest.ts'
import { describe, imageType } from '../content.ts'
import { listOf, type PushedImage, pushImage } from '../corpus.ts'
import { drive, rateOf } from '../drive.ts'
import { type Bench, clients, registries, type Scenario } from '../scenario.ts'
import { seedTags } from '../seed.ts'
import type { Server } from '../server.ts'
import { smallConfig, smallLayers } from './reads.ts'

const page = 100
const fewTags = 2000
const referrers = 1000
const many = 'tags/many'
const few = 'tags/few'
const referred = 'referred/image'

/** Lists: pages of tags, and referrers. */
export function listScenarios(bench: Bench): Scenario[] {
  return [tagsPage('tags-few', few, server => pushTags(server, few, fewTags)), ...manyTags(bench), referrersList()]
}

function manyTags(bench: Bench): Scenario[] {
  const images = new Map<Server, PushedImage>()
  const fill = async (server: Server) => {
    const image = await pushBase(server, many)
    images.set(server, image)
    const { tags, seedSeconds } = bench.settings
    if (server.peer.name === 'marina') return seedTags(server.storage, many, parseDigest(image.digest), tags)
    const pushed = await pushTags(server, many, tags, seedSeconds)
    if (pushed < tags)
      bench.note(
        `${server.peer.title} took ${pushed} tags of ${tags} within ${seedSeconds} s: its pages are among these`
      )
  }
  const afterPush: Scenario = {
    name: 'tags-after-push',
    on: 'shared',
    peers: registries,
    run: async (server, { seconds }) => {
      const { manifest } = images.get(server)!
      const task = { kind: 'tag-then-request', repository: many, manifest, path: pages(many) } as const
      return { 'tags-after-push': await rateOf(server, { clients: 1, seconds, task }) }
    }
  }
  return [tagsPage('tags-many', many, fill), afterPush]
}

const pages = (repository: string, last = ''): string =>
  `/v2/${repository}/tags/list?n=${page}${last && `&last=${last}`}`

/** The second page, so that `last` counts. */
function tagsPage(name: string, repository: string, fill: (server: Server) => Promise<unknown>): Scenario {
  const paths = new Map<Server, string>()
  return {
    name,
    on: 'shared',
    peers: registries,
    prepare: async server => {
      await fill(server)
      const first = await listOf(server, pages(repository), 'tags')
      const path = pages(repository, String(first.at(-1)))
      const second = await listOf(server, path, 'tags')
      if (first.length !== page || second.length !== page) throw new Error(`its pages have ${second.length} tags`)
      paths.set(server, path)
    },
    run: async (server, { seconds }) => {
      const task = { kind: 'request', method: 'GET', path: paths.get(server)! } as const
      return { [name]: await rateOf(server, { clients, seconds, task }) }
    }
  }
}

function referrersList(): Scenario {
  const paths = new Map<Server, string>()
  return {
    name: 'referrers',
    on: 'shared',
    peers: registries,
    prepare: async server => {
      const { manifest, bytes, digest } = await pushBase(server, referred)
      const path = `/v2/${referred}/referrers/${digest}`
      await listOf(server, path, 'manifests')
      const referrer = {
        ...manifest,
        artifactType: 'application/vnd.example.sbom',
        subject: describe(imageType, bytes)
      }
      const task = { kind: 'push-manifest', repository: referred, manifest: referrer, by: 'digest' } as const
      // One after another: a peer that loses referrers which come at the same time can still show how it lists them.
      await drive(server, [{ clients: 1, count: referrers, task }])
      const { length } = await listOf(server, path, 'manifests')
      if (length !== referrers) throw new Error(`it lists ${length} of ${referrers} referrers`)
      paths.set(server, path)
    },
    run: async (server, { seconds }) => {
      const task = { kind: 'request', method: 'GET', path: paths.get(server)! } as const
      return { referrers: await rateOf(server, { clients, seconds, task }) }
    }
  }
}

const pushBase = (server: Server, repository: string): Promise<PushedImage> =>
  pushImage(server, repository, 'base', smallConfig, smallLayers)

/** Pushes tags, each of a manifest of its own, and returns how many there was time for. */
async function pushTags(server: Server, repository: string, count: number, seconds?: number): Promise<number> {
  const { manifest } = await pushBase(server, repository)
  const task = { kind: 'push-manifest', repository, manifest, by: 'tag' } as const
  const { results } = await drive(server, [{ clients, count, task, ...(seconds && { seconds }) }])
  return results[0]!.done
}
