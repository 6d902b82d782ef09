import { mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createBuffers } from '../../src/storage/buffers.ts'
import { createFolderSync, createFolders } from '../../src/storage/filesystem/folders.ts'
import { createObjects } from '../../src/storage/filesystem/objects.ts'
import { createReserve } from '../../src/storage/filesystem/reserve.ts'
import { openRoot, type Root } from '../../src/storage/filesystem/root.ts'
import { createUploads } from '../../src/storage/filesystem/uploads.ts'

async function openAway(t: Test, local: boolean) {
  const path = await mkdtemp(join(tmpdir(), 'marina-away-'))
  t.teardown(() => Promise.all([path, `${path}-away`].map(at => rm(at, { recursive: true, force: true }))))
  const root = await openRoot({ path, now: Date.now, local })
  return { path, root, leave: () => rename(path, `${path}-away`), comeBack: () => rename(`${path}-away`, path) }
}

t.test('what was not found while the folder was away is looked for again when it is back', async t => {
  for (const local of [true, false]) {
    const { root, leave, comeBack } = await openAway(t, local)
    let away = false
    const returning: typeof root = {
      ...root,
      async confirm(missing) {
        if (away) await comeBack()
        away = false
        await root.confirm(missing)
      }
    }
    const objects = createObjects(returning, createFolders(returning), createBuffers(1024 * 1024), createReserve(root))
    await objects.put('some/k', Buffer.from('x'))
    const whileAway = async <T>(look: () => Promise<T>): Promise<T> => {
      await leave()
      away = true
      return look()
    }
    t.match(await whileAway(() => objects.stat('some/k')), { size: 1 })
    t.match(await whileAway(() => objects.get('some/k')), { bytes: Buffer.from('x') })
    t.match(await whileAway(() => objects.read('some/k')), { size: 1 })
    t.strictSame(await whileAway(() => objects.list('some/')), [{ key: 'some/k' }])
    await whileAway(() => objects.delete(['some/k']))
    t.equal(await objects.stat('some/k'), undefined, 'a deletion that was answered is one')
  }
})

t.test('a folder that goes while it is listed has not lost its keys', async t => {
  for (const local of [true, false]) {
    // Once it is known to be there, and once it has been read.
    for (const moment of ['after the first look', 'before the second look']) {
      const { root, leave } = await openAway(t, local)
      let looks = Number.POSITIVE_INFINITY
      const leaving: typeof root = {
        ...root,
        async stat(path) {
          if (++looks === 2 && moment.startsWith('before')) await leave()
          const stat = await root.stat(path)
          if (looks === 1 && moment.startsWith('after')) await leave()
          return stat
        }
      }
      const objects = createObjects(leaving, createFolders(leaving), createBuffers(1024 * 1024), createReserve(root))
      for (let key = 0; key < 5; key++) await objects.put(`some/${key}`, Buffer.from('x'))
      looks = 0
      await t.rejects(objects.list('some/', { ages: true }), { message: /is gone or was replaced/ }, moment)
    }
  }
})

t.test('nothing is durable that went away with the folder', async t => {
  for (const local of [true, false]) {
    const { path, root, leave } = await openAway(t, local)
    const sync = createFolderSync(local, root.confirm)
    await sync(join(path, 'gone'))
    await leave()
    await t.rejects(sync(join(path, 'gone')), { message: /is gone or was replaced/ })
  }
})

t.test('an upload that is taken over while it is aborted leaves nothing behind', async t => {
  const { path, root } = await openAway(t, true)
  const session = join(path, 'uploads', 'u')
  const takenOver: typeof root = {
    ...root,
    async temporary() {
      const other = await root.temporary()
      await mkdir(other)
      await writeFile(join(other, 'two.claim.w'), 'abc')
      for (const name of await readdir(session)) await rm(join(session, name))
      await rename(other, session)
      return root.temporary()
    }
  }
  await mkdir(session, { recursive: true })
  await writeFile(join(session, 'one.claim.r'), 'abc')
  await createUploads(takenOver, createFolders(takenOver), createBuffers(1024 * 1024)).abort('u')
  for (const folder of ['uploads', 'tmp']) t.strictSame(await readdir(join(path, folder)), [], folder)
})

t.test('an upload whose folder goes while it is aborted fails where it was asked for, and nowhere else', async t => {
  const { path, root, leave } = await openAway(t, true)
  const leaving: typeof root = {
    ...root,
    async temporary() {
      await leave()
      return root.temporary()
    }
  }
  await mkdir(join(path, 'uploads', 'u'), { recursive: true })
  const unheard: unknown[] = []
  const hear = (error: unknown): void => void unheard.push(error)
  process.on('unhandledRejection', hear)
  t.teardown(() => process.off('unhandledRejection', hear))
  const aborted = createUploads(leaving, createFolders(leaving), createBuffers(1024 * 1024)).abort('u')
  await t.rejects(aborted, { message: /is gone or was replaced/ })
  t.strictSame(unheard, [], 'a rejection that nobody hears would end the process')
})

/** A root that leaves at the `n`th look (from 1) of an operation, and is back when somebody asks whether it is there. */
function leavingAt({ root, leave, comeBack }: Awaited<ReturnType<typeof openAway>>, n: number) {
  let [looks, away] = [0, false]
  const back = async (): Promise<void> => {
    if (away) await comeBack()
    away = false
  }
  const look = async <T>(find: () => Promise<T>): Promise<T> => {
    const seen = await find()
    if (++looks === n) {
      await leave()
      away = true
    }
    return seen
  }
  const leaving: Root = {
    ...root,
    stat: path => look(() => root.stat(path)),
    confine: path => look(() => root.confine(path)),
    temporary: () => look(() => root.temporary()),
    confirm: async missing => {
      await back()
      await root.confirm(missing)
    }
  }
  return { root: leaving, back, looks: () => looks }
}

t.test("an upload whose folder was away for a moment is nobody else's", async t => {
  type Uploads = ReturnType<typeof createUploads>
  const key = 'content/c'
  const uploadsOf = (root: Root) => createUploads(root, createFolders(root), createBuffers(1024 * 1024))
  const bytes = async function* () {
    yield Buffer.from('abc')
  }
  const works: Record<string, (uploads: Uploads) => Promise<unknown>> = {
    'an append': uploads => uploads.append('u', bytes(), { from: { size: 3, writer: 'one' }, writer: 'two', key }),
    'a commit': uploads => uploads.commit('u', key, { size: 3, writer: 'one' })
  }
  for (const [what, work] of Object.entries(works)) {
    for (const atRest of [true, false]) {
      let refused = 0
      for (let n = 1, looks = n; n <= looks; n++) {
        const away = await openAway(t, true)
        await mkdir(join(away.path, 'uploads'))
        await uploadsOf(away.root).append('u', bytes(), { from: undefined, writer: 'one', key, closing: !atRest })
        const leaving = leavingAt(away, n)
        const failure = await work(uploadsOf(leaving.root)).then(
          () => undefined,
          error => error
        )
        await leaving.back()
        looks = leaving.looks()
        t.not(failure?.fault, 'conflict', `${what} while the folder is away after look ${n}`)
        if (failure) refused++
      }
      t.ok(refused > 0, `${what} is refused then`)
    }
  }
})
