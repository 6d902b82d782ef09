import { digestOf } from '../reliability/bytes.ts'
import type { Client } from '../support/client.ts'
import { descriptor, IMAGE, INDEX, imageOf, indexOf, json } from '../support/images.ts'
import { sendBlob } from './blob-operations.ts'
import { blobOf, type Change, type Ledger, manifestOf, referrerOf, tagOf } from './ledger.ts'
import { COMMON, type Holding, type Image, newBytes, type Operation, TAGS, WAYS } from './operation.ts'

/** How an image is pushed: by a tag, by its digest with or without tags in the query, or with a subject. */
export type ImageWay = 'tag' | 'tags' | 'digest' | 'subject'

/** An image whose config is new and whose layer may be there already. */
export function pushImage(holding: Holding, way: ImageWay): Operation {
  const { repository, chance, blobs, images } = holding
  const config = json({ architecture: 'amd64', os: 'linux', id: newBytes(chance).toString('hex', 0, 12) })
  const layer = chance.one([newBytes(chance), chance.one(COMMON), ...blobs.values()])
  const subject = way === 'subject' ? chance.one([...images.values()]) : undefined
  const more = subject ? { subject: descriptor(subject.bytes, subject.mediaType), artifactType: 'a/b' } : {}
  const bytes = json(imageOf(config, [layer], more))
  const image: Image = {
    digest: digestOf(bytes),
    bytes,
    mediaType: IMAGE,
    blobs: [config, layer].map(digestOf),
    subject: subject?.digest
  }
  const tags = tagsFor(holding, way)
  const ways = [chance.one(WAYS), chance.one(WAYS)]
  return {
    name: `push of an image by ${way} to ${repository}`,
    run: async (client, ledger) => {
      for (const [index, blob] of [config, layer].entries()) {
        const path = `/v2/${repository}/blobs/${digestOf(blob)}`
        const there = blobs.has(digestOf(blob)) && (await client.head(path)).status === 200
        if (!there) await sendBlob(client, ledger, repository, blob, ways[index]!)
      }
      const remember = await sendManifest(client, ledger, holding, image, tags)
      return () => {
        for (const blob of [config, layer]) blobs.set(digestOf(blob), blob)
        remember()
      }
    }
  }
}

export function pushIndex(holding: Holding, children: readonly Image[]): Operation {
  const entries = children.map(({ bytes, mediaType }) => descriptor(bytes, mediaType))
  const bytes = json(indexOf(entries, { annotations: { id: newBytes(holding.chance).toString('hex', 0, 12) } }))
  const index: Image = { digest: digestOf(bytes), bytes, mediaType: INDEX, blobs: [], subject: undefined }
  const tags = tagsFor(holding, 'tag')
  return {
    name: `push of an index to ${holding.repository}`,
    run: (client, ledger) => sendManifest(client, ledger, holding, index, tags)
  }
}

function tagsFor({ chance }: Holding, way: ImageWay): string[] {
  if (way === 'tag') return [chance.one(TAGS)]
  return way === 'tags' ? [...new Set([chance.one(TAGS), chance.one(TAGS)])] : []
}

async function sendManifest(
  client: Client,
  ledger: Ledger,
  { repository, images, tags: tagged }: Holding,
  image: Image,
  tags: readonly string[]
): Promise<() => void> {
  const { digest, bytes, mediaType, subject } = image
  const [tag, ...more] = tags
  const reference =
    tag !== undefined && more.length === 0 ? tag : `${digest}?${tags.map(name => `tag=${name}`).join('&')}`
  const changes: Change[] = [
    { resource: manifestOf(repository, digest), to: digest },
    ...tags.map(name => ({ resource: tagOf(repository, name), to: digest })),
    ...(subject ? [{ resource: referrerOf(repository, subject, digest), to: digest }] : [])
  ]
  await ledger.ask(changes, [201], () => client.putManifest(repository, reference, bytes, mediaType))
  return () => {
    images.set(digest, image)
    for (const name of tags) tagged.set(name, digest)
  }
}

export function deleteTag({ repository, tags }: Holding, tag: string): Operation {
  return {
    name: `deletion of a tag of ${repository}`,
    run: async (client, ledger, again) => {
      const changes = [{ resource: tagOf(repository, tag), to: undefined }]
      await ledger.ask(changes, deleted(again), () => client.del(`/v2/${repository}/manifests/${tag}`))
      return () => tags.delete(tag)
    }
  }
}

/** By digest: the tags that point at it go as well. */
export function deleteImage({ repository, images, tags, blobs }: Holding, image: Image): Operation {
  const { digest, subject } = image
  const others = new Set([...images.values()].flatMap(other => (other === image ? [] : other.blobs)))
  const loose = image.blobs.filter(blob => !others.has(blob))
  const pointing = [...tags].flatMap(([tag, value]) => (value === digest ? [tag] : []))
  return {
    name: `deletion of an image of ${repository}`,
    run: async (client, ledger, again) => {
      // They may have been here for long, and then a collector takes them at once.
      ledger.allow(loose.map(blob => ({ resource: blobOf(repository, blob), to: undefined })))
      const gone = [
        manifestOf(repository, digest),
        ...pointing.map(tag => tagOf(repository, tag)),
        ...(subject ? [referrerOf(repository, subject, digest)] : [])
      ]
      const changes = gone.map(resource => ({ resource, to: undefined }))
      await ledger.ask(changes, deleted(again), () => client.del(`/v2/${repository}/manifests/${digest}`))
      return () => {
        images.delete(digest)
        for (const tag of pointing) tags.delete(tag)
        for (const blob of loose) blobs.delete(blob)
      }
    }
  }
}

const deleted = (again: boolean): number[] => (again ? [202, 404] : [202])
