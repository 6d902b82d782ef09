import { beginSession, cancel, deleteBlob, finish, mount, patchMore, pushBlob, pushWrong } from './blob-operations.ts'
import type { Chance } from './chance.ts'
import { deleteImage, deleteTag, pushImage, pushIndex } from './image-operations.ts'
import { blobOf, type Ledger } from './ledger.ts'
import { COMMON, type Holding, newBytes, type Operation, WAYS } from './operation.ts'

export interface Pusher {
  /** One more operation, chosen by chance out of those that are possible. */
  next(): Operation
  /** So much time has passed that blobs may be gone that no image has. */
  forget(ledger: Ledger): void
}

/** Images of a repository at most. */
const MANY = 6

/** A client that is the only one to write to its repository. `shared` are blobs that it may mount. */
export function createPusher(repository: string, shared: readonly Buffer[], chance: Chance): Pusher {
  const holding: Holding = { repository, chance, blobs: new Map(), images: new Map(), tags: new Map(), sessions: [] }
  return {
    next: () => chance.one(choices(holding, shared))(),
    forget: ledger => {
      for (const digest of unused(holding)) {
        holding.blobs.delete(digest)
        ledger.allow([{ resource: blobOf(repository, digest), to: undefined }])
      }
    }
  }
}

/** What can be done now; what is to be done often stands there more than once. */
function choices(holding: Holding, shared: readonly Buffer[]): (() => Operation)[] {
  const { chance, images, tags, sessions } = holding
  const anyImage = () => chance.one([...images.values()])
  const fresh = unused(holding)
  return [
    () => pushBlob(holding, newBytes(chance), chance.one(WAYS)),
    () => pushBlob(holding, chance.one(COMMON), chance.one(WAYS)),
    () => mount(holding, chance.one(shared)),
    () => pushWrong(holding, newBytes(chance)),
    () => cancel(holding, newBytes(chance)),
    () => beginSession(holding, newBytes(chance)),
    ...(images.size < MANY ? (['tag', 'tags', 'digest'] as const).map(by => () => pushImage(holding, by)) : []),
    ...(images.size > 0 ? [() => pushImage(holding, 'subject'), () => deleteImage(holding, anyImage())] : []),
    ...(images.size > 1 ? [() => pushIndex(holding, [anyImage(), anyImage()])] : []),
    ...(tags.size > 0 ? [() => pushImage(holding, 'tag'), () => deleteTag(holding, chance.one([...tags.keys()]))] : []),
    ...sessions.flatMap(session => [() => finish(holding, session), () => patchMore(holding, session)]).slice(0, 4),
    ...(fresh.length > 0 ? [() => deleteBlob(holding, chance.one(fresh))] : [])
  ]
}

/** Blobs that no image needs. */
function unused({ blobs, images }: Holding): string[] {
  const needed = new Set([...images.values()].flatMap(image => image.blobs))
  return [...blobs.keys()].filter(digest => !needed.has(digest))
}
