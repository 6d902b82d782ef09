import { randomBytes } from 'node:crypto'
import { fault, from, gated, MIB, type On, slowly, uploadsIn } from './parts.ts'

export function contendedUploads(on: On): void {
  for (const writer of ['one', 'two']) {
    for (const late of ['before', 'after'] as const) {
      on(`late bytes of a stuck writer, ${late} the commit of writer ${writer}`, async (t, { driver, peer }) => {
        await driver.append('u', from('abc'), { key: 'made', from: undefined, writer: 'one' })
        const stuck = gated(randomBytes(2 * MIB))
        const losing = driver.append('u', stuck.source, {
          key: 'made',
          from: { size: 3, writer: 'one' },
          writer: 'one'
        })
        const lost = fault(t, 'conflict', losing, 'the stuck writer hears of it')
        await stuck.asked
        const size = await (writer === 'one' ? driver : peer).append('u', from('def'), {
          key: 'made',
          from: await peer.upload('u'),
          writer,
          closing: true
        })
        t.equal(size, 6)
        if (late === 'before') {
          stuck.open()
          await lost
        }
        t.same(await peer.commit('u', 'made', { size, writer }), { size, existed: false })
        stuck.open()
        await lost
        t.equal((await peer.get('made'))?.bytes.toString(), 'abcdef')
        t.equal(await driver.upload('u'), undefined)
      })
    }
  }

  for (const closing of [false, true]) {
    on(`abort during an append${closing ? ' that closes' : ''}`, async (t, { driver, peer, leftovers }) => {
      const stuck = gated(randomBytes(2 * MIB))
      const losing = driver.append('u', stuck.source, { key: 'made', from: undefined, writer: 'one', closing })
      await stuck.asked
      // Before its commit, an upload that begins with its end may be known to its process alone.
      await (closing ? driver : peer).abort('u')
      await peer.abort('u')
      stuck.open()
      await fault(t, 'conflict', losing)
      t.equal(await peer.upload('u'), undefined)
      t.same(await uploadsIn(driver), [])
      t.same((await leftovers?.()) ?? [], [])
    })
  }

  for (const [writers, begun] of [
    ['others', false],
    ['others', true],
    ['the same', true]
  ] as const) {
    const title = `of eight that race, ${writers} writers, ${begun ? 'going on' : 'beginning'}, one goes through`
    on(title, async (t, { driver, peer }) => {
      const seen = { size: 3, writer: 'one' }
      if (begun) await driver.append('u', from('abc'), { key: 'made', from: undefined, writer: 'one' })
      const texts = Array.from({ length: 8 }, (_, i) => `-${i}-`)
      const ends = await Promise.allSettled(
        texts.map((text, i) =>
          (i % 2 ? driver : peer).append('u', slowly(text), {
            key: 'made',
            from: begun ? seen : undefined,
            writer: writers === 'the same' ? 'one' : `w${i}`
          })
        )
      )
      const won = ends.flatMap((end, i) => (end.status === 'fulfilled' ? [i] : []))
      t.equal(won.length, 1)
      for (const end of ends) if (end.status === 'rejected') t.equal(end.reason.fault, 'conflict')
      const state = await driver.upload('u')
      t.equal(state?.size, begun ? 6 : 3)
      await driver.commit('u', 'made', state)
      t.equal((await driver.get('made'))?.bytes.toString(), `${begun ? 'abc' : ''}${texts[won[0]!]}`)
    })
  }

  on('append and commit at once leave the committed bytes alone', async (t, { driver, peer }) => {
    for (let i = 0; i < 10; i++) {
      const key = `made/${i}`
      const state = {
        size: await driver.append('u', from('abc'), { key, from: undefined, writer: 'one' }),
        writer: 'one'
      }
      const [appended, committed] = await Promise.allSettled([
        peer.append('u', slowly('xyz'), { key, from: state, writer: 'two' }),
        driver.commit('u', key, state)
      ])
      if (appended.status === 'rejected') t.equal(appended.reason.fault, 'conflict')
      if (committed.status === 'rejected') t.equal(committed.reason.fault, 'conflict')
      else t.equal((await peer.get(key))?.bytes.toString(), 'abc')
      t.ok(appended.status === 'fulfilled' || committed.status === 'fulfilled', 'not both lose')
      await driver.abort('u')
    }
  })
}
