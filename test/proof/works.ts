import { collectContents } from '../../src/registry/gc/contents.ts'
import { collectDangling } from '../../src/registry/gc/dangling.ts'
import { collectLinks } from '../../src/registry/gc/links.ts'
import { collectManifests } from '../../src/registry/gc/manifests.ts'
import { collectCatalog, mendCatalog, removeRepository } from '../../src/registry/gc/repositories.ts'
import { chunk } from '../support/world.ts'
import { step } from './actor.ts'
import { digests, LAYER, type ManifestName, manifests, type Repository } from './images.ts'
import { beginRound, collectorOf } from './room.ts'
import type { At, Work } from './run.ts'

const text = LAYER.toString()

export async function pushLayer({ registry, request }: At, name: Repository): Promise<string> {
  return request({ brings: [`${name}/layer`], anew: true }, () =>
    registry.uploads.single(name, digests.layer, chunk(text))
  )
}

export async function pushManifest(at: At, name: Repository, manifest: ManifestName, tag?: string): Promise<string> {
  const { bytes, mediaType } = manifests[manifest]
  const thing = `${name}/${manifest}`
  const touches = manifest === 'index' ? [`${name}/image`, `${name}/layer`] : [`${name}/layer`]
  return at.request({ brings: [thing], touches, ...(tag && { tag: [`${name}:${tag}`, thing] }) }, () =>
    at.registry.manifests.put(name, tag ? { tag } : { digest: digests[manifest] }, bytes, mediaType)
  )
}

/** How much of the blob a session has when it was begun and left. */
export const SENT = 2
const rest = (from: number) =>
  from === text.length ? chunk() : chunk(text.slice(from), { start: from, end: text.length - 1 })

async function close({ registry, request, notes }: At, digest: keyof typeof digests, body: ReturnType<typeof chunk>) {
  return request({ brings: digest === 'layer' ? ['a/layer'] : [], anew: true }, () =>
    registry.uploads.finish('a', notes.get('session')!, digests[digest], body)
  )
}

/** A body that comes piece by piece, so that others may come between. */
async function* slowly(pieces: string): AsyncGenerator<Uint8Array> {
  for (const piece of pieces.match(/..?/g) ?? []) {
    await step('a piece', async () => undefined)
    yield Buffer.from(piece)
  }
}

const head = (at: At, name: Repository) =>
  at.request({ brings: [`${name}/layer`] }, () => at.registry.blobs.head(name, digests.layer))

/** A mount that finds nothing is answered as well, so it claims nothing: the PUT that comes next tells. */
async function mount({ registry, request }: At, to: Repository, from: Repository | undefined): Promise<boolean> {
  let mounted = false
  await request({ touches: ['a/layer', 'b/layer'] }, async () => {
    mounted = await registry.blobs.mount(to, digests.layer, from)
  })
  return mounted
}

const deleteLayer = (name: Repository): Work => ({
  title: `DELETE of a blob of ${name}`,
  work: async ({ registry, request }) =>
    void (await request({ takes: [`${name}/layer`] }, () => registry.blobs.remove(name, digests.layer)))
})

const collecting = (
  title: string,
  collect: (round: ReturnType<typeof beginRound>) => Promise<unknown>,
  more: Partial<Work> = {}
): Work => ({
  title,
  work: async ({ registry }) => void (await collect(beginRound(registry))),
  ...more
})

export const works = {
  pushLayer: { title: 'push of a blob', whole: true, work: async at => void (await pushLayer(at, 'a')) },
  pushSmallLayer: {
    title: 'push of a small blob',
    whole: true,
    process: { small: true },
    work: async at => void (await pushLayer(at, 'a'))
  },
  pushLayerToB: {
    title: 'push of a blob that another repository has',
    whole: true,
    work: async at => void (await pushLayer(at, 'b'))
  },
  pushImage: {
    title: 'push of an image',
    whole: true,
    async work(at) {
      if ((await pushLayer(at, 'a')) === 'ok') await pushManifest(at, 'a', 'image', 'v1')
    }
  },
  headAndPut: {
    title: 'HEAD, then PUT of a manifest',
    async work(at) {
      if ((await head(at, 'a')) === 'ok') await pushManifest(at, 'a', 'image')
    }
  },
  putTagged: { title: 'PUT of a manifest by tag', work: async at => void (await pushManifest(at, 'a', 'image', 'v1')) },
  moveTag: {
    title: 'PUT of another manifest by the same tag',
    work: async at => void (await pushManifest(at, 'a', 'other', 'v1'))
  },
  putImmutable: {
    title: 'PUT of a manifest by an immutable tag',
    process: { immutable: true },
    work: async at => void (await pushManifest(at, 'a', 'image', 'v1'))
  },
  putOtherImmutable: {
    title: 'PUT of another manifest by the same immutable tag',
    process: { immutable: true },
    work: async at => void (await pushManifest(at, 'a', 'other', 'v1'))
  },
  putIndex: { title: 'PUT of an index', work: async at => void (await pushManifest(at, 'a', 'index', 'v2')) },
  putSignature: { title: 'PUT of a referrer', work: async at => void (await pushManifest(at, 'a', 'signature')) },
  mountAndPut: {
    title: 'mount, then PUT of a manifest there',
    async work(at) {
      if (await mount(at, 'b', 'a')) await pushManifest(at, 'b', 'image', 'v1')
    }
  },
  mountBack: {
    title: 'mount in the other direction, then PUT of a manifest there',
    async work(at) {
      if (await mount(at, 'a', 'b')) await pushManifest(at, 'a', 'image', 'v1')
    }
  },
  mountFromAnywhere: {
    title: 'mount from wherever it is, then PUT of a manifest there',
    async work(at) {
      if (await mount(at, 'b', undefined)) await pushManifest(at, 'b', 'image', 'v1')
    }
  },
  deleteManifest: {
    title: 'DELETE of a manifest',
    work: async ({ registry, request }) =>
      void (await request({ takes: ['a/image'] }, () => registry.manifests.remove('a', { digest: digests.image })))
  },
  deleteTag: {
    title: 'DELETE of a tag',
    work: async ({ registry, request }) =>
      void (await request({ takes: ['a:v1'] }, () => registry.manifests.remove('a', { tag: 'v1' })))
  },
  deleteLayer: deleteLayer('a'),
  deleteLayerOfB: deleteLayer('b'),
  collectLinks: collecting('collection of links', round => collectLinks(round, 'a')),
  collectLinksOfB: collecting('collection of links of another repository', round => collectLinks(round, 'b')),
  collectContents: collecting('collection of contents', collectContents),
  collectUntagged: collecting('collection of manifests', round => collectManifests(round, 'a', true), {
    untagged: true
  }),
  collectDangling: collecting('collection of what dangles', round => collectDangling(round, 'a')),
  collectCatalog: collecting('mending of the catalog', async round => {
    await mendCatalog(round, 'a')
    await collectCatalog(round, () => true)
  }),
  collectAll: { title: 'collection', work: async ({ registry }) => void (await collectorOf(registry).collect()) },
  collectAllUntagged: {
    title: 'collection, with manifests',
    untagged: true,
    work: async ({ registry }) => void (await collectorOf(registry).collect({ untagged: true }))
  },
  deleteRepository: {
    title: 'deletion of a repository',
    work: async ({ registry, request }) =>
      void (await request({ takes: ['a/layer', 'a/image', 'a/other', 'a/index', 'a/signature', 'a:v1', 'a:v2'] }, () =>
        removeRepository(beginRound(registry), 'a')
      ))
  },
  closeSession: {
    title: 'closing PUT with the rest',
    work: async at => void (await close(at, 'layer', rest(SENT)))
  },
  closeEmpty: { title: 'closing PUT', work: async at => void (await close(at, 'layer', chunk())) },
  closeWrongly: {
    title: 'closing PUT with another digest',
    work: async at => void (await close(at, 'image', chunk()))
  },
  streamRest: {
    title: 'PATCH with the rest, piece by piece, then a closing PUT',
    async work(at) {
      const { registry, request, notes } = at
      const sent = await request({}, () =>
        registry.uploads.append('a', notes.get('session')!, { source: slowly(text.slice(SENT)), length: undefined })
      )
      if (sent === 'ok') await close(at, 'layer', chunk())
    }
  },
  streamAll: {
    title: 'PATCH piece by piece, then a closing PUT whatever was answered',
    async work(at) {
      const { registry, request, notes } = at
      await request({}, () =>
        registry.uploads.append('a', notes.get('session')!, { source: slowly(text), length: undefined })
      )
      await close(at, 'layer', chunk())
    }
  },
  appendOther: {
    title: 'PATCH with other bytes',
    work: async ({ registry, request, notes }) =>
      void (await request({}, () => registry.uploads.append('a', notes.get('session')!, chunk('xxx'))))
  },
  takeOver: {
    title: 'GET of a session, then a closing PUT with what it lacks',
    async work(at) {
      const { registry, request, notes } = at
      let size = 0
      const told = await request({}, async () => {
        size = (await registry.uploads.status('a', notes.get('session')!)).size
      })
      if (told === 'ok') await close(at, 'layer', rest(size))
    }
  },
  cancelSession: {
    title: 'DELETE of a session',
    work: async ({ registry, request, notes }) =>
      void (await request({}, () => registry.uploads.cancel('a', notes.get('session')!)))
  }
} satisfies Record<string, Work>
export type WorkName = keyof typeof works
