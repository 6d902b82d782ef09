import type { Blobs } from './blobs.ts'
import { RegistryError } from './errors.ts'
import type { Quota } from './quota.ts'
import type { Chunk, Uploads } from './uploads.ts'

/** The same uploads, which add no blob to a repository that would hold more than it may. */
export function uploadsUnderQuota(uploads: Uploads, quota: Quota): Uploads {
  /** What a session has stored; undefined: it has ended, or there is none. */
  async function stored(repository: string, session: string): Promise<number | undefined> {
    try {
      return (await uploads.status(repository, session)).size
    } catch (error) {
      if (error instanceof RegistryError && error.kind === 'upload-unknown') return undefined
      throw error
    }
  }

  /** A session that is too large for its repository goes, with its bytes. */
  async function admitSession(repository: string, session: string, bytes: number): Promise<void> {
    try {
      await quota.admit(repository, bytes)
    } catch (error) {
      await uploads.cancel(repository, session)
      throw error
    }
  }

  return {
    ...uploads,
    async start(repository, algorithm) {
      await quota.admit(repository, 0)
      return uploads.start(repository, algorithm)
    },
    async append(repository, session, chunk) {
      if (quota.limitOf(repository) !== undefined) {
        const size = await stored(repository, session)
        if (size !== undefined) await admitSession(repository, session, size + lengthOf(chunk))
      }
      return uploads.append(repository, session, chunk)
    },
    async finish(repository, session, digest, chunk) {
      if (quota.limitOf(repository) === undefined) return uploads.finish(repository, session, digest, chunk)
      const size = await stored(repository, session)
      if (size !== undefined) await admitSession(repository, session, size + lengthOf(chunk))
      await uploads.finish(repository, session, digest, chunk)
      // A closing PUT that is repeated adds nothing.
      if (size !== undefined) quota.add(repository, size + lengthOf(chunk))
    },
    async single(repository, digest, chunk) {
      await quota.admit(repository, lengthOf(chunk))
      await uploads.single(repository, digest, chunk)
      quota.add(repository, lengthOf(chunk))
    }
  }
}

/** The same blobs, which are mounted into no repository that would hold more than it may. */
export function blobsUnderQuota(blobs: Blobs, quota: Quota): Blobs {
  return {
    ...blobs,
    async mount(name, digest, from, readable) {
      if (quota.limitOf(name) === undefined) return blobs.mount(name, digest, from, readable)
      const visible = from !== undefined && readable?.(from) !== false
      const found = visible ? await blobs.head(from, digest, { relying: false }).catch(unlessUnknown) : undefined
      await quota.admit(name, found?.size ?? 0)
      const mounted = await blobs.mount(name, digest, from, readable)
      if (mounted && from !== name) {
        quota.add(name, found?.size ?? (await blobs.head(name, digest, { relying: false })).size)
      }
      return mounted
    }
  }
}

/** 0: it comes in chunks, and nobody knows before it is there. */
const lengthOf = ({ length = 0 }: Chunk): number => length

function unlessUnknown(error: unknown): undefined {
  if (error instanceof RegistryError && error.kind === 'blob-unknown') return undefined
  throw error
}
