import type { ListOptions, StorageDriver } from '../storage/driver.ts'
import { keysIn, type On } from './parts.ts'

export function listings(on: On): void {
  on('lists in byte order of whole keys', async (t, { driver, peer }) => {
    const keys = ['a!/x', 'a-/x', 'a/b', 'a/bc', 'a/c/d', 'a/c/e', 'a/c-/d', 'a0', 'aB', 'ab', 'b/c']
    for (const key of [...keys].reverse()) await driver.put(key, Buffer.alloc(0), { durable: false })
    const sorted = [...keys].sort()
    t.same(await keysIn(peer, ''), sorted)
    t.same(await keysIn(peer, 'a/'), ['a/b', 'a/bc', 'a/c-/d', 'a/c/d', 'a/c/e'])
    t.same(await keysIn(peer, 'a/b'), ['a/b', 'a/bc'], 'a prefix is text')
    t.same(await keysIn(peer, 'a/c'), ['a/c-/d', 'a/c/d', 'a/c/e'])
    t.same(await keysIn(peer, 'a/', { folders: true }), ['a/b', 'a/bc', 'a/c-/', 'a/c/'])
    t.same(await keysIn(peer, '', { folders: true }), ['a!/', 'a-/', 'a/', 'a0', 'aB', 'ab', 'b/'])
    t.same(await keysIn(peer, 'a', { folders: true, after: 'a/' }), ['a0', 'aB', 'ab'])
    t.same(
      await keysIn(peer, '', { after: 'a/', limit: 2 }),
      ['a0', 'aB'],
      'what lies under a prefix is before its end'
    )
    t.same(await keysIn(peer, '', { after: 'a/c/d', limit: 2 }), ['a/c/e', 'a0'])
    t.same(await keysIn(peer, '', { after: 'a/c/c' }), sorted.slice(sorted.indexOf('a/c/d')), 'after need not exist')
    t.same(await keysIn(peer, '', { limit: 0 }), [])
    t.same(await keysIn(peer, 'a/', { after: 'b' }), [])
    t.same(await keysIn(peer, 'b/', { after: 'a/zzz' }), ['b/c'])
    const aged = await driver.list('a/', { folders: true, ages: true })
    t.same(
      aged.map(({ key, ageMs }) => [key, ageMs !== undefined && ageMs < 60_000]),
      [
        ['a/b', true],
        ['a/bc', true],
        ['a/c-/', false],
        ['a/c/', false]
      ]
    )
  })

  on('pages through more than a thousand', async (t, { driver }) => {
    const keys = Array.from({ length: 1100 }, (_, i) => `many/k${i}`).sort()
    for (let i = 0; i < keys.length; i += 50) {
      await Promise.all(keys.slice(i, i + 50).map(key => driver.put(key, Buffer.alloc(0), { durable: false })))
    }
    t.same(await keysIn(driver, 'many/', { ages: true }), keys)
    const paged: string[] = []
    for (let page = await keysIn(driver, 'many/', { limit: 300 }); page.length > 0; ) {
      paged.push(...page)
      page = await keysIn(driver, 'many/', { limit: 300, after: paged.at(-1)! })
    }
    t.same(paged, keys)
    await driver.delete(keys, { durable: false })
    t.same(await keysIn(driver, 'many/'), [])
  })

  on('pages of a long listing hold what was there when it began and stays', async (t, { driver, peer }) => {
    const keys = Array.from({ length: 60 }, (_, i) => `long/k${String(i).padStart(2, '0')}`)
    for (const key of keys) await driver.put(key, Buffer.from('old'), { durable: false })
    await keysIn(driver, 'long/', { since: performance.now(), limit: 10 })
    const gone = keys.filter((_, i) => i % 6 === 0)
    await peer.delete(gone, { durable: false })
    await peer.put('long/k00a', Buffer.from('new'), { durable: false })

    const since = performance.now()
    const found: string[] = []
    for (let page = await keysIn(driver, 'long/', { since, limit: 10 }); page.length > 0; ) {
      found.push(...page)
      await peer.put(`long/later${found.length}`, Buffer.from('new'), { durable: false })
      page = await keysIn(driver, 'long/', { since, limit: 10, after: found.at(-1)!, ages: true })
    }
    const stays = ['long/k00a', ...keys.filter(key => !gone.includes(key))]
    t.same(
      found.filter(key => !key.startsWith('long/later')),
      stays
    )
    t.same(found, [...new Set(found)].sort())
  })

  on('does what a map would do', async (t, { driver, peer }) => {
    for (let seed = 1; seed <= 60; seed++) {
      const wrong = await unlikeMap([driver, peer], randomSteps(seed))
      t.equal(wrong, undefined, `sequence ${seed}`)
      await driver.delete(NAMES, { durable: false })
    }
  })
}

/** The keys of such sequences: neighbours in byte order, and some below others. */
export const NAMES = ['a/b', 'a/bc', 'a/bd/x', 'a/bd/y', 'a!/x', 'a-x/y', 'ab/c/d', 'ab/c-/d', 'z'] as const

export type Step =
  | { do: 'put'; key: string; bytes: Uint8Array; ifAbsent: boolean }
  | { do: 'delete'; keys: string[] }
  | { do: 'list'; prefix: string; options: ListOptions }

/** Takes the steps on an empty store, by turns through two of its drivers; returns the first that a map answers otherwise. */
export async function unlikeMap(
  drivers: readonly [StorageDriver, StorageDriver],
  steps: readonly Step[]
): Promise<Step | undefined> {
  const model = new Map<string, Uint8Array>()
  for (const [i, step] of steps.entries()) {
    const store = drivers[i % 2 ? 0 : 1]
    if (step.do === 'put') {
      const expected = !(step.ifAbsent && model.has(step.key))
      if (expected) model.set(step.key, step.bytes)
      const written = await store.put(step.key, step.bytes, { ifAbsent: step.ifAbsent, durable: false })
      const bytes = (await store.get(step.key))?.bytes
      if (written !== expected || !bytes?.equals(model.get(step.key)!)) return step
    } else if (step.do === 'delete') {
      for (const gone of step.keys) model.delete(gone)
      await store.delete(step.keys, { durable: false })
    } else {
      const found = await keysIn(store, step.prefix, step.options)
      if (JSON.stringify(found) !== JSON.stringify(modelList(model, step.prefix, step.options))) return step
    }
  }
  return undefined
}

/** The same steps for the same seed, so that a failure can be had again. */
function randomSteps(seed: number): Step[] {
  let state = seed
  // A linear congruential generator (Numerical Recipes); its high bits are random enough.
  const below = (limit: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * limit)
  }
  const key = (): string => NAMES[below(NAMES.length)]!
  const part = (): string => key().slice(0, below(8))
  const step = (): Step => {
    const kind = below(3)
    if (kind === 0) {
      return {
        do: 'put',
        key: key(),
        bytes: Uint8Array.from({ length: below(5) }, () => below(256)),
        ifAbsent: below(2) > 0
      }
    }
    if (kind === 1) return { do: 'delete', keys: Array.from({ length: below(4) }, key) }
    const options = {
      ...(below(2) && { after: part() }),
      ...(below(2) && { limit: below(11) }),
      ...(below(2) && { folders: below(2) > 0 })
    }
    return { do: 'list', prefix: part(), options }
  }
  return Array.from({ length: 5 + below(26) }, step)
}

function modelList(model: Map<string, unknown>, prefix: string, { after, limit, folders }: ListOptions): string[] {
  const entries = [...model.keys()]
    .filter(key => key.startsWith(prefix))
    .map(key => {
      const slash = key.indexOf('/', prefix.length)
      return folders && slash >= 0 ? key.slice(0, slash + 1) : key
    })
    .filter(entry => !after || (entry > after && !(after.endsWith('/') && entry.startsWith(after))))
  return [...new Set(entries)].sort().slice(0, limit)
}
