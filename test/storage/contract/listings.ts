import fc from 'fast-check'
import type { ListOptions } from '../../../src/storage/driver.ts'
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

  on('does what a map would do', async (t, { driver, peer }) => {
    const names = ['a/b', 'a/bc', 'a/bd/x', 'a/bd/y', 'a!/x', 'a-x/y', 'ab/c/d', 'ab/c-/d', 'z'] as const
    const key = fc.constantFrom(...names)
    const part = fc.tuple(key, fc.nat(7)).map(([name, length]) => name.slice(0, length))
    const step = fc.oneof(
      fc.record({
        do: fc.constant('put' as const),
        key,
        bytes: fc.uint8Array({ maxLength: 4 }),
        ifAbsent: fc.boolean()
      }),
      fc.record({ do: fc.constant('delete' as const), keys: fc.array(key, { maxLength: 3 }) }),
      fc.record({
        do: fc.constant('list' as const),
        prefix: part,
        options: fc.record({ after: part, limit: fc.nat(10), folders: fc.boolean() }, { requiredKeys: [] })
      })
    )
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 30 }), async steps => {
        const model = new Map<string, Uint8Array>()
        for (const [i, it] of steps.entries()) {
          const store = i % 2 ? driver : peer
          if (it.do === 'put') {
            const expected = !(it.ifAbsent && model.has(it.key))
            if (expected) model.set(it.key, it.bytes)
            const written = await store.put(it.key, it.bytes, { ifAbsent: it.ifAbsent, durable: false })
            const bytes = (await store.get(it.key))?.bytes
            if (written !== expected || !bytes?.equals(model.get(it.key)!)) return false
          } else if (it.do === 'delete') {
            for (const gone of it.keys) model.delete(gone)
            await store.delete(it.keys, { durable: false })
          } else {
            const found = await keysIn(store, it.prefix, it.options)
            if (JSON.stringify(found) !== JSON.stringify(modelList(model, it.prefix, it.options))) return false
          }
        }
        await driver.delete(names, { durable: false })
        return true
      }),
      { numRuns: 60 }
    )
    t.pass('every sequence')
  })
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
