import { createHmac, randomBytes, randomUUID, timingSafeEqual } from 'node:crypto'
import type { StorageDriver } from '../storage/driver.ts'
import { type Algorithm, parseAlgorithm } from './digest.ts'
import { RegistryError } from './errors.ts'
import { systemKey } from './keys.ts'

/** An upload session as its signed name tells it. */
export interface Session {
  /** The UUID that the spec asks for; also the id of the content that comes of it. */
  id: string
  algorithm: Algorithm
  /** Who began it; undefined: somebody who has not said. Nobody else may go on with it. */
  owner?: string | undefined
}

const KEY = systemKey('upload-key')
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/**
 * Signs and checks the names of upload sessions: `<uuid>.<ms since 1970 in base 36>.<algorithm>.<signature>`. A session
 * that nothing was sent to needs no place in the store; the signature says that it is ours, which repository it is of, who
 * began it, and when it was last used.
 */
export function createSessions({
  storage,
  expiryMs,
  now
}: {
  storage: StorageDriver
  expiryMs: number
  now: () => number
}) {
  let loading: Promise<Buffer> | undefined
  const signingKey = (): Promise<Buffer> => {
    loading ??= loadKey(storage).catch(error => {
      loading = undefined // so that the next request tries again
      throw error
    })
    return loading
  }

  const sign = async (repository: string, stamped: string, owner: string | undefined): Promise<string> =>
    createHmac('sha256', await signingKey())
      .update(`${repository}\n${stamped}${owner === undefined ? '' : `\n${owner}`}`)
      .digest('base64url')
      .slice(0, 27)

  /** Names a session as of now: a new one, or one that goes on. */
  async function issue(repository: string, session: Session): Promise<string> {
    const stamped = `${session.id}.${now().toString(36)}.${session.algorithm}`
    return `${stamped}.${await sign(repository, stamped, session.owner)}`
  }

  /** Begins a session whose blob will be of this algorithm, as far as the client knows yet. */
  const begin = (algorithm: Algorithm, owner?: string): Session => ({ id: randomUUID(), algorithm, owner })

  /** Reads a session's name. Throws `upload-unknown` when it is forged, expired, another repository's or another owner's. */
  async function check(repository: string, name: string, owner: string | undefined): Promise<Session> {
    const [id = '', stamp = '', algorithm = '', signature = '', ...more] = name.split('.')
    const expected = Buffer.from(await sign(repository, `${id}.${stamp}.${algorithm}`, owner))
    const given = Buffer.from(signature)
    const genuine = more.length === 0 && given.length === expected.length && timingSafeEqual(given, expected)
    if (!genuine || !UUID.test(id) || Number.parseInt(stamp, 36) + expiryMs < now()) {
      throw new RegistryError('upload-unknown')
    }
    return { id, algorithm: parseAlgorithm(algorithm), owner }
  }

  return { begin, issue, check }
}

/** The key all processes on this store share. Whoever comes first makes it. */
async function loadKey(storage: StorageDriver): Promise<Buffer> {
  const stored = await storage.get(KEY)
  if (stored) return stored.bytes
  await storage.put(KEY, randomBytes(32), { ifAbsent: true })
  const made = await storage.get(KEY)
  if (!made) throw new Error('the key for upload sessions was written and is not there')
  return made.bytes
}
