import { CONTENTS, contentKey, hintKey, orphanKey, parseContentKey } from '../../src/registry/keys.ts'
import { chunk, GRACE } from '../support/world.ts'
import { digests, LAYER } from './images.ts'
import { HALF, storage } from './room.ts'
import type { At, Beginning } from './run.ts'
import { pushLayer, pushManifest, SENT, works } from './works.ts'

const OLD = GRACE + 1
/** As old as it may be and still be relied on. */
const YOUNG = HALF - 1

const beginning = (title: string, begin: Beginning['begin']): Beginning => ({ title, begin })

async function pushImage(at: At): Promise<void> {
  await pushLayer(at, 'a')
  await pushManifest(at, 'a', 'image', 'v1')
}

async function pushIndex(at: At): Promise<void> {
  await pushLayer(at, 'a')
  await pushManifest(at, 'a', 'image')
  await pushManifest(at, 'a', 'index', 'v2')
  await pushManifest(at, 'a', 'signature')
}

/** A session that some bytes were sent to. */
async function openSession({ registry, notes }: At, text: string): Promise<string> {
  const { session } = await registry.uploads.append('a', await registry.uploads.start('a'), chunk(text))
  notes.set('session', session)
  return session.split('.')[0]!
}

const aged = (title: string, make: (at: At) => Promise<unknown>) =>
  [
    beginning(title, async (at, pass) => {
      await make(at)
      pass(YOUNG)
    }),
    beginning(`an old ${title.replace(/^an? /, '')}`, async (at, pass) => {
      await make(at)
      pass(OLD)
    })
  ] as const

const [layer, oldLayer] = aged('a blob', at => pushLayer(at, 'a'))
const [image, oldImage] = aged('an image', pushImage)
const [untagged, oldUntagged] = aged('an untagged image', async at => {
  await pushLayer(at, 'a')
  await pushManifest(at, 'a', 'image')
})
const [index, oldIndex] = aged('an index with a signed image', pushIndex)
const [lost, oldLost] = aged('a deleted blob', async at => {
  await pushLayer(at, 'a')
  await works.deleteLayer.work(at)
})
const [shared, oldShared] = aged('a blob in two repositories', async at => {
  await pushLayer(at, 'a')
  await pushLayer(at, 'b')
})
const [halfLost, oldHalfLost] = aged('a blob that was deleted in one of two repositories', async at => {
  await pushLayer(at, 'a')
  await pushLayer(at, 'b')
  await works.deleteLayer.work(at)
  // Not left to the code that is proved: it could be missing there.
  const [content] = await storage.list(CONTENTS)
  await storage.put(orphanKey(parseContentKey(content!.key)), Buffer.from(digests.layer))
})
/** Nobody remembers the session, and its content has an entry. */
const [marked, oldMarked] = aged('content that a collector found', async at => {
  const id = await openSession(at, LAYER.toString())
  await storage.commit(id, contentKey(id), await storage.upload(id))
  await storage.put(orphanKey(id), Buffer.alloc(0))
})
const [committed, oldCommitted] = aged('a session whose closing died halfway', async at => {
  const id = await openSession(at, LAYER.toString())
  await storage.commit(id, contentKey(id), await storage.upload(id))
})
const [closed, oldClosed] = aged('a closed session, the blob of which was deleted', async at => {
  await openSession(at, LAYER.toString())
  await works.closeEmpty.work(at)
  await works.deleteLayer.work(at)
})

/** The hint was not durable, or its loss was not, and a power cut came. */
const staleHint = beginning('a hint of content that is gone', async () => {
  const hint = { content: '00000000-0000-4000-8000-000000000000', size: LAYER.length }
  await storage.put(hintKey(digests.layer), Buffer.from(JSON.stringify(hint)))
})

export const beginnings = {
  begun: beginning(
    'a session',
    async ({ registry, notes }) => void notes.set('session', await registry.uploads.start('a'))
  ),
  nothing: beginning('nothing', async () => {}),
  layer,
  oldLayer,
  image,
  oldImage,
  untagged,
  oldUntagged,
  index,
  oldIndex,
  lost,
  oldLost,
  shared,
  oldShared,
  halfLost,
  oldHalfLost,
  marked,
  oldMarked,
  session: beginning(
    'a session with a part of the bytes',
    async at => void (await openSession(at, LAYER.toString().slice(0, SENT)))
  ),
  wholeSession: beginning('a session with all bytes', async at => void (await openSession(at, LAYER.toString()))),
  committed,
  oldCommitted,
  closed,
  oldClosed,
  staleHint
}
export type BeginningName = keyof typeof beginnings
