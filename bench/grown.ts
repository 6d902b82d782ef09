import { digestOf } from '../test/reliability/bytes.ts'

import type { Job } from './load.ts'
import { seededImage, seedImage, seedReferrers, seedRegistry, seedTags } from './seed.ts'

/** How much is in a registry. */
export interface Grown {
  /** Files of repositories with 10 small images each. */
  objects: number
  /** In one repository. */
  tags: number
  /** Of one manifest. */
  referrers: number
}

/** Two pages of every list that is asked for: the first is as long as in a large registry. */
export const small: Grown = { objects: 200 * 90, tags: 200, referrers: 1100 }
export const large: Grown = { objects: 900_000, tags: 100_000, referrers: 10_000 }

const tagged = 'grown/tags'
const referred = 'grown/referrers'
const pushed = 'grown/pushed'
const tag = 'v1'

/** Fills the folder of a registry. */
export function seedGrown(folder: string, { objects, tags, referrers }: Grown): void {
  seedRegistry(folder, objects)
  for (const repository of [tagged, referred, pushed]) {
    const digest = seedImage(folder, repository, tag)
    if (repository === tagged) seedTags(folder, repository, digest, tags)
  }
  seedReferrers(folder, referred, seededImage(referred, tag).manifest, referrers)
}

export interface GrowthRequest {
  what: string
  task: Job['task']
  /** What it costs is told and not held to be the same, and why. */
  grows?: string
}

/** Every endpoint, and those that list with a page that has more after it. */
export function growthRequests(): GrowthRequest[] {
  const { config, layer, manifest } = seededImage(pushed, tag)
  const digest = digestOf(Buffer.from(JSON.stringify(manifest)))
  const blob = `/v2/${pushed}/blobs/${digestOf(layer)}`
  const referrers = digestOf(Buffer.from(JSON.stringify(seededImage(referred, tag).manifest)))
  const page = `/v2/${tagged}/tags/list?n=100&last=t-1`
  const read = (method: 'GET' | 'HEAD', path: string): GrowthRequest['task'] => ({ kind: 'request', method, path })
  return [
    { what: 'the base', task: read('GET', '/v2/') },
    { what: 'a manifest by tag', task: read('GET', `/v2/${pushed}/manifests/${tag}`) },
    { what: 'a manifest by tag, among many tags', task: read('GET', `/v2/${tagged}/manifests/t-10`) },
    { what: 'a manifest by digest', task: read('GET', `/v2/${pushed}/manifests/${digest}`) },
    { what: 'whether a manifest is there', task: read('HEAD', `/v2/${pushed}/manifests/${tag}`) },
    { what: 'a blob', task: read('GET', blob) },
    { what: 'whether a blob is there', task: read('HEAD', blob) },
    { what: 'a page of tags', task: read('GET', page) },
    { what: 'a page of the catalog', task: read('GET', '/v2/_catalog?n=100') },
    { what: 'a page of referrers', task: read('GET', `/v2/${referred}/referrers/${referrers}`) },
    { what: 'a blob is pushed', task: { kind: 'push-blob', repository: pushed, size: 4096 } },
    {
      what: 'an upload is begun, asked for and cancelled',
      task: { kind: 'cancelled-upload', repository: pushed, size: 4096 }
    },
    { what: 'a blob is mounted', task: { kind: 'mount', repository: tagged, from: pushed, digest: digestOf(config) } },
    { what: 'a manifest is pushed by tag, among many tags', task: pushes(tagged, 'tag') },
    { what: 'a manifest is pushed by digest', task: pushes(pushed, 'digest') },
    { what: 'a referrer is pushed, among many', task: refers() },
    {
      what: 'a manifest is pushed and deleted',
      task: { kind: 'push-and-delete', repository: tagged, manifest: seededImage(tagged, tag).manifest }
    },
    { what: 'a blob is pushed and deleted', task: { kind: 'push-and-delete', repository: pushed } },
    {
      what: 'a page of tags just after one was pushed',
      task: { kind: 'tag-then-request', repository: tagged, manifest: seededImage(tagged, tag).manifest, path: page },
      grows: 'a folder is read whole when it has changed'
    }
  ]
}

function pushes(repository: string, by: 'tag' | 'digest'): GrowthRequest['task'] {
  return { kind: 'push-manifest', repository, manifest: seededImage(repository, tag).manifest, by }
}

function refers(): GrowthRequest['task'] {
  const { manifest } = seededImage(referred, tag)
  const bytes = Buffer.from(JSON.stringify(manifest))
  const subject = { mediaType: manifest.mediaType, digest: digestOf(bytes), size: bytes.length }
  return { kind: 'push-manifest', repository: referred, manifest: { ...manifest, subject }, by: 'digest' }
}
