import { randomBytes } from 'node:crypto'
import type { StorageDriver } from '../storage/driver.ts'
import { fault, from, gather, keysIn, MIB, type On, whole } from './parts.ts'

export function objects(on: On): void {
  on('what is not there', async (t, { driver }) => {
    t.equal(await driver.stat('a/b'), undefined)
    t.equal(await driver.get('a/b'), undefined)
    t.equal(await driver.read('a/b', { start: 5, end: 3 }), undefined, 'also with a range that no object has')
    t.same(await driver.list('a/'), [])
    t.same(await driver.list('a/', { folders: true, ages: true }), [])
    await driver.delete(['a/b', 'c'])
    t.equal(await driver.upload('u'), undefined)
    await driver.abort('u')
    t.equal(await driver.commit('u', 'a/b', undefined), undefined)
    t.equal(await driver.commit('u', 'a/b', { size: 1, writer: 'one' }), undefined)
    await fault(
      t,
      'conflict',
      driver.append('u', from('x'), { key: 'a/b', from: { size: 1, writer: 'one' }, writer: 'one' })
    )
  })

  on('bytes come back as they were put', async (t, { driver, peer }) => {
    const sizes = [0, 1, 64 * 1024, 64 * 1024 + 1, 3 * MIB + 7]
    for (const size of sizes) {
      const bytes = randomBytes(size)
      const key = `sizes/${size}`
      t.equal(await driver.put(key, bytes), true)
      t.match(await peer.stat(key), { size })
      t.ok((await peer.get(key))?.bytes.equals(bytes), `${size} bytes by get`)
      t.ok((await whole(peer, key)).equals(bytes), `${size} bytes by read`)
    }
    const notText = Buffer.from([0xff, 0xfe, 0x00, 0xc3, 0x28])
    await driver.put('not-text', notText)
    t.same((await driver.get('not-text'))?.bytes, notText)
    t.equal(await driver.url('not-text', { expiresMs: 1000 }).then(url => url === undefined || URL.canParse(url)), true)
  })

  on('ranges', async (t, { driver }) => {
    for (const size of [100, 300_000]) {
      const bytes = randomBytes(size)
      await driver.put('o', bytes)
      for (const [start, end] of [
        [0, 0],
        [size - 1, size - 1],
        [0, size - 1],
        [0, size + 1000],
        [size - 10, Number.MAX_SAFE_INTEGER],
        [3, 77],
        [1, size - 2]
      ] as const) {
        const body = await driver.read('o', { start, end })
        t.equal(body?.size, size, 'the size is the whole object’s')
        t.ok((await gather(body?.chunks)).equals(bytes.subarray(start, end + 1)), `${start}-${end} of ${size}`)
      }
      for (const [start, end] of [
        [size, size],
        [size + 5, size + 9],
        [7, 6]
      ] as const) {
        const error = await fault(t, 'range', driver.read('o', { start, end }))
        t.equal(error.size, size)
      }
    }
    await driver.put('empty', Buffer.alloc(0))
    await fault(t, 'range', driver.read('empty', { start: 0, end: 0 }))
    t.equal((await whole(driver, 'empty')).length, 0)
  })

  on('a body that nobody reads to its end holds nothing', async (t, { driver, handles }) => {
    await driver.put('large', randomBytes(3 * MIB))
    const unread = await driver.read('large')
    t.equal(unread?.size, 3 * MIB)
    t.equal(handles?.() ?? 0, 0, 'before the first chunk')
    const body = await driver.read('large')
    for await (const chunk of body?.chunks ?? []) {
      t.ok(chunk.length > 0)
      break
    }
    t.equal(handles?.() ?? 0, 0, 'after leaving in the middle')
  })

  on('many bodies at once keep their bytes apart', async (t, { driver }) => {
    const contents = Array.from({ length: 40 }, () => randomBytes(400_000))
    await Promise.all(contents.map((bytes, i) => driver.put(`o/${i}`, bytes, { durable: false })))
    const read = await Promise.all(contents.map((_, i) => whole(driver, `o/${i}`)))
    t.ok(contents.every((bytes, i) => read[i]!.equals(bytes)))
  })

  on('put replaces, also by something shorter or empty', async (t, { driver, peer }) => {
    for (const text of ['something long', 'short', '', 'again', '', '']) {
      t.equal(await driver.put('k/o', Buffer.from(text), { durable: text !== 'short' }), true)
      t.equal((await peer.get('k/o'))?.bytes.toString(), text)
    }
  })

  on('ifAbsent is true for one of sixteen', async (t, { driver, peer }) => {
    for (const [key, size] of [
      ['race/empty', 0],
      ['race/full', 100]
    ] as const) {
      const contents = Array.from({ length: 16 }, () => randomBytes(size))
      const won = await Promise.all(
        contents.map((bytes, i) => (i % 2 ? driver : peer).put(key, bytes, { ifAbsent: true }))
      )
      t.equal(won.filter(Boolean).length, 1, key)
      t.same((await driver.get(key))?.bytes, contents[won.indexOf(true)])
      t.equal(await driver.put(key, Buffer.from('late'), { ifAbsent: true }), false)
      t.equal(await driver.put(key, Buffer.alloc(0), { ifAbsent: true, durable: false }), false)
      t.match(await driver.stat(key), { size })
    }
  })

  on('delete takes exactly these keys', async (t, { driver, peer }) => {
    for (const key of ['a/b', 'a/bc', 'a/d/e/f', 'z']) await driver.put(key, Buffer.from(key))
    await driver.delete(['a/b', 'a/never', 'a/d', 'nowhere/at/all'])
    t.same(await keysIn(peer, ''), ['a/bc', 'a/d/e/f', 'z'])
    await driver.delete(['a/d/e/f', 'a/bc'], { durable: false })
    t.same(await keysIn(peer, ''), ['z'])
    await driver.delete([])
    await driver.put('a/b', Buffer.from('new'))
    t.equal((await peer.get('a/b'))?.bytes.toString(), 'new', 'a key may come back')
  })

  on('many are deleted, in their order where that is asked for', async (t, { driver, peer }) => {
    const keys = Array.from({ length: 9 }, (_, i) => `gone/${i}`)
    for (const key of keys) await driver.put(key, Buffer.alloc(0), { durable: false })
    const going = driver.delete(keys.toReversed(), { ordered: true })
    for (let over = false; !over; ) {
      over = await Promise.race([going.then(() => true), keysIn(peer, 'gone/').then(() => false)])
      const left = await keysIn(peer, 'gone/')
      t.same(left, keys.slice(0, left.length), 'the first of them is the last to go')
    }
    t.same(await keysIn(peer, 'gone/'), [])
  })

  on('puts and deletes of neighbours do not trip over each other', async (t, { driver, peer }) => {
    const write = async (store: StorageDriver, name: string): Promise<boolean> => {
      let kept = true
      for (let i = 0; i < 30; i++) {
        await store.put(`deep/er/${name}`, Buffer.from(name), { durable: i % 10 === 0 })
        kept &&= (await store.get(`deep/er/${name}`)) !== undefined
        await store.delete([`deep/er/${name}`], { durable: i % 10 === 0 })
      }
      return kept
    }
    const kept = await Promise.all(['a', 'b', 'c', 'd'].map((name, i) => write(i % 2 ? driver : peer, name)))
    t.same(kept, [true, true, true, true])
    t.same(await keysIn(driver, ''), [])
  })

  on('ages', async (t, { driver, forward }) => {
    await driver.put('old/one', Buffer.from('1'))
    forward(3_600_000)
    const stat = await driver.stat('old/one')
    const got = await driver.get('old/one')
    const [listed] = await driver.list('old/', { ages: true })
    for (const ageMs of [stat?.ageMs, got?.ageMs, listed?.ageMs]) {
      t.ok(ageMs !== undefined && ageMs >= 3_590_000 && ageMs < 3_700_000, `${ageMs}`)
    }
    t.same(await driver.list('old/'), [{ key: 'old/one' }], 'ages come when asked for')
    forward(-7_200_000)
    t.equal((await driver.stat('old/one'))?.ageMs, 0, 'an age is never negative')
  })
}

export function refusals(on: On): void {
  on('refuses odd keys', async (t, { driver }) => {
    const bad = [
      '',
      '/',
      '/a',
      'a/',
      'a//b',
      '.',
      '..',
      'a/..',
      '../a',
      'a/./b',
      '.hidden',
      'a\\b',
      'a\0b',
      'é',
      'a b',
      'a\n'
    ]
    for (const key of [...bad, 'x'.repeat(1025), `a/${'x'.repeat(256)}`]) {
      const name = JSON.stringify(key.slice(0, 20))
      await fault(t, 'failed', driver.stat(key), `stat ${name}`)
      await fault(t, 'failed', driver.get(key), `get ${name}`)
      await fault(t, 'failed', driver.read(key), `read ${name}`)
      await fault(t, 'failed', driver.put(key, Buffer.alloc(0)), `put ${name}`)
      await fault(t, 'failed', driver.delete(['fine', key]), `delete ${name}`)
      await fault(t, 'failed', driver.url(key, { expiresMs: 1 }), `url ${name}`)
      await fault(t, 'failed', driver.commit('u', key, undefined), `commit ${name}`)
      await fault(t, 'failed', driver.append('u', from('x'), { key, from: undefined, writer: 'one' }), `append ${name}`)
      if (key !== '' && key !== 'a/') await fault(t, 'failed', driver.list(key), `list ${name}`)
    }
    for (const id of ['', '.', '..', 'a/b', '../u', 'a.b', 'ü', 'x'.repeat(129)]) {
      await fault(t, 'failed', driver.upload(id), `upload ${id.slice(0, 20)}`)
      await fault(t, 'failed', driver.abort(id))
      await fault(t, 'failed', driver.append(id, from('x'), { key: 'made', from: undefined, writer: 'one' }))
      await fault(t, 'failed', driver.append('u', from('x'), { key: 'made', from: undefined, writer: id }))
      await fault(t, 'failed', driver.commit(id, 'key', undefined))
    }
    const long = `${'x'.repeat(255)}/${'y'.repeat(255)}/${'z'.repeat(200)}`
    await driver.put(long, Buffer.from('long'))
    t.equal((await driver.get(long))?.bytes.toString(), 'long')
  })
}
