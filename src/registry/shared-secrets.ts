import type { StorageDriver } from '../storage/driver.ts'
import { parseTokenKeyNumber, TOKEN_KEYS, tokenKeyKey } from './keys.ts'

/** A secret is replaced at this age, in ms. */
const REPLACE = 30 * 24 * 3600_000
/** A new one is not used before this age, in ms: until then every process has looked again and knows it. */
const USE = 10 * 60_000
/** How often a process looks, at most, in ms. Less than `USE`, by what a look may take. */
const LOOK = 5 * 60_000

export interface SharedSecretsOptions {
  storage: StorageDriver
  /** Makes a new one. */
  make: () => Buffer
  /** How long what was made with a secret may be in use, in ms: until then it is kept beside its successor. */
  usedFor: number
  /** A monotonic clock in ms, for how long ago it looked. */
  steady: () => number
}

export interface SharedSecrets {
  /** To make something with: the newest that every process knows. */
  newest: Buffer
  /** To check with: every one that something in use may have been made with. */
  all: readonly Buffer[]
}

/**
 * Secrets for tokens, which all processes on a store share and replace from time to time. They are numbered, and a number
 * goes to whoever writes it first; how old one is, the store's clock tells. Returns how to get them; where the store can't
 * be asked, those that are known go on being used.
 */
export function createSharedSecrets({ storage, make, usedFor, steady }: SharedSecretsOptions) {
  let known: SharedSecrets | undefined
  let lookedAt = Number.NEGATIVE_INFINITY
  let looking: Promise<SharedSecrets> | undefined

  async function look(): Promise<SharedSecrets> {
    try {
      const found = await load()
      lookedAt = steady()
      known = found
    } catch (error) {
      if (!known) throw error
    }
    return known
  }

  async function load(): Promise<SharedSecrets> {
    let stored = await read()
    const last = stored.at(-1)
    if (!last || last.ageMs > REPLACE) {
      const key = tokenKeyKey(last ? parseTokenKeyNumber(last.key) + 1 : 1)
      await storage.put(key, make(), { ifAbsent: true }).catch(error => {
        if (!last) throw error // an old one is good for longer, on a read-only mount for ever
      })
      stored = await read()
    }
    const spent = stored.filter((_, index) => (stored[index + 1]?.ageMs ?? 0) > USE + LOOK + usedFor)
    // Nobody uses those that stay, and the next look tries again.
    if (spent.length > 0) await storage.delete(spent.map(({ key }) => key)).catch(() => undefined)
    const kept = stored.filter(secret => !spent.includes(secret))
    const used = kept.findLast(({ ageMs }) => ageMs >= USE) ?? kept[0]
    if (!used) throw new Error('the secret for tokens was written and is not there')
    return { newest: used.bytes, all: kept.map(({ bytes }) => bytes) }
  }

  /** In the order of their numbers. */
  async function read(): Promise<{ key: string; bytes: Buffer; ageMs: number }[]> {
    const listed = await storage.list(TOKEN_KEYS)
    const found = await Promise.all(listed.map(async ({ key }) => ({ key, stored: await storage.get(key) })))
    return found.flatMap(({ key, stored }) => (stored ? { key, ...stored } : []))
  }

  return async (): Promise<SharedSecrets> => {
    if (known && steady() - lookedAt < LOOK) return known
    looking ??= look().finally(() => {
      looking = undefined
    })
    return looking
  }
}
