import { randomBytes } from 'node:crypto'
import { setTimeout as later } from 'node:timers/promises'
import type { UploadState } from '../storage/driver.ts'
import { fault, from, inPieces, keysIn, MIB, type On, uploadsIn, whole } from './parts.ts'

export function growingUploads(on: On): void {
  on('an upload grows', async (t, { driver, peer, forward }) => {
    let state: UploadState | undefined
    const parts = ['a', '', 'bcd', randomBytes(2 * MIB + 3), 'e'].map(part => Buffer.from(part))
    for (const part of parts) {
      const size = await driver.append('u', from(part), { key: 'made', from: state, writer: 'one' })
      state = { size, writer: 'one' }
      t.same(await peer.upload('u'), state)
    }
    t.same(await keysIn(driver, ''), [], 'an upload is no object')
    forward(3_600_000)
    const [listed] = await uploadsIn(peer)
    t.equal(listed?.id, 'u')
    t.ok(listed && listed.ageMs >= 3_590_000 && listed.ageMs < 3_700_000)
    t.same(await driver.commit('u', 'made', state), { size: state?.size, existed: false })
    t.ok((await whole(peer, 'made')).equals(Buffer.concat(parts)))
  })

  for (const size of [0, 1, 5 * MIB - 1, 5 * MIB, 5 * MIB + 1]) {
    on(`an upload of ${size} bytes in one`, async (t, { driver, peer }) => {
      const bytes = randomBytes(size)
      const written = await driver.append('u', inPieces(bytes, 100_000), {
        key: 'made',
        from: undefined,
        writer: 'w',
        closing: true
      })
      t.equal(written, size)
      t.same(await driver.upload('u'), { size, writer: 'w' })
      t.same(await driver.commit('u', 'made', { size, writer: 'w' }), { size, existed: false })
      t.ok((await whole(peer, 'made')).equals(bytes))
    })
  }

  on('what is stored is shown, and stays as it is as long as it is looked at', async (t, { driver }) => {
    const bytes = randomBytes(5 * MIB + 1)
    const shown: Buffer[] = []
    let looking = 0
    const watch = async (piece: Uint8Array): Promise<void> => {
      looking++
      const before = Buffer.from(piece)
      shown.push(before)
      await later(2)
      t.ok(before.equals(piece))
      looking--
    }
    const options = { key: 'made', from: undefined, writer: 'one', watch }
    t.equal(await driver.append('u', inPieces(bytes, 100_000), options), bytes.length)
    t.equal(looking, 0, 'it waits for all of it')
    t.ok(Buffer.concat(shown).equals(bytes))
    const broken = new Error('the client went away')
    const failing = async function* () {
      yield bytes.subarray(0, 10)
      throw broken
    }
    const more = { ...options, from: await driver.upload('u') }
    await t.rejects(driver.append('u', failing(), more), broken)
    t.equal(Buffer.concat(shown).length, (await driver.upload('u'))?.size, 'also of one that broke')
  })

  on('many small pieces', async (t, { driver }) => {
    const bytes = randomBytes(5000)
    t.equal(await driver.append('u', inPieces(bytes, 1), { key: 'made', from: undefined, writer: 'one' }), 5000)
    await driver.commit('u', 'made', { size: 5000, writer: 'one' })
    t.ok((await whole(driver, 'made')).equals(bytes))
  })

  on('an append that saw another state is refused', async (t, { driver, peer }) => {
    await driver.append('u', from('four'), { key: 'made', from: undefined, writer: 'one' })
    for (const seen of [
      undefined,
      { size: 3, writer: 'one' },
      { size: 5, writer: 'one' },
      { size: 4, writer: 'two' }
    ]) {
      const unread = from('never')
      await fault(t, 'conflict', peer.append('u', unread, { key: 'made', from: seen, writer: 'two' }))
      await fault(t, 'conflict', peer.commit('u', 'made', seen))
    }
    t.same(await driver.upload('u'), { size: 4, writer: 'one' }, 'nothing changed')
    t.equal(await peer.stat('made'), undefined)
  })

  on('what came before the source failed is kept', async (t, { driver, peer }) => {
    const first = randomBytes(MIB + 500)
    const broken = new Error('the client went away')
    const source = async function* () {
      yield* inPieces(first, 70_000)
      throw broken
    }
    for (const closing of [false, true]) {
      const id = `u-${closing}`
      const key = `made/${closing}`
      await t.rejects(driver.append(id, source(), { key, from: undefined, writer: 'one', closing }), broken)
      const state = await peer.upload(id)
      t.same(state, { size: first.length, writer: 'one' })
      const size = await peer.append(id, from('rest'), { key, from: state, writer: 'two' })
      await peer.commit(id, key, { size, writer: 'two' })
      t.ok((await whole(driver, key)).equals(Buffer.concat([first, Buffer.from('rest')])))
    }
  })
}

export function committedUploads(on: On): void {
  on('commit may be repeated', async (t, { driver, peer }) => {
    const state = {
      size: await driver.append('u', from('bytes'), { key: 'made', from: undefined, writer: 'one' }),
      writer: 'one'
    }
    t.same(await driver.commit('u', 'made', state), { size: 5, existed: false })
    t.same(await driver.commit('u', 'made', state), { size: 5, existed: true })
    t.same(await peer.commit('u', 'made', state), { size: 5, existed: true })
    t.equal(await peer.upload('u'), undefined)
    t.same(await uploadsIn(peer), [])
    await fault(
      t,
      'conflict',
      peer.append('u', from('more'), { key: 'made', from: state, writer: 'one' }),
      'it is over'
    )
  })

  on('commit replaces nothing', async (t, { driver }) => {
    await driver.put('made', Buffer.from('first'))
    const size = await driver.append('u', from('second one'), {
      key: 'made',
      from: undefined,
      writer: 'one',
      closing: true
    })
    t.same(await driver.commit('u', 'made', { size, writer: 'one' }), { size: 5, existed: true })
    t.equal((await driver.get('made'))?.bytes.toString(), 'first')
    t.equal(await driver.upload('u'), undefined)
  })

  on('another process goes on from a closed upload, and commits it', async (t, { driver, peer }) => {
    const begun = {
      size: await driver.append('u', from('ab'), { key: 'made', from: undefined, writer: 'one' }),
      writer: 'one'
    }
    await driver.append('u', from('c'), { key: 'made', from: begun, writer: 'one', closing: true })
    const state = await peer.upload('u')
    t.same(state, { size: 3, writer: 'one' })
    await peer.append('u', from('def'), { key: 'made', from: state, writer: 'two', closing: true })
    await fault(t, 'conflict', driver.commit('u', 'made', state))
    t.same(await driver.commit('u', 'made', { size: 6, writer: 'two' }), { size: 6, existed: false })
    await fault(
      t,
      'conflict',
      peer.append('u', from('x'), { key: 'made', from: { size: 6, writer: 'two' }, writer: 'two' })
    )
    t.equal((await driver.get('made'))?.bytes.toString(), 'abcdef')
  })

  on('sixteen commits at once make one object', async (t, { driver, peer }) => {
    const bytes = randomBytes(100_000)
    const state = {
      size: await driver.append('u', from(bytes), { key: 'made', from: undefined, writer: 'one' }),
      writer: 'one'
    }
    const ends = await Promise.allSettled(
      Array.from({ length: 16 }, (_, i) => (i % 2 ? driver : peer).commit('u', 'made', state))
    )
    const made = ends.filter(end => end.status === 'fulfilled' && end.value?.existed === false)
    t.equal(made.length, 1)
    for (const end of ends) if (end.status === 'rejected') t.equal(end.reason.fault, 'conflict')
    t.ok((await whole(peer, 'made')).equals(bytes))
    t.same(await uploadsIn(peer), [])
  })
}
