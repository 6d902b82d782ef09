import assert from 'node:assert/strict'
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readlinkSync } from 'node:fs'
import {
  chmod,
  link,
  mkdir,
  mkdtemp,
  open as openFile,
  readdir,
  rename,
  rm,
  stat,
  symlink,
  utimes,
  writeFile
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { type BufferShare, createBuffers } from '../../src/storage/buffers.ts'
import type { StorageDriver } from '../../src/storage/driver.ts'
import { storageError } from '../../src/storage/filesystem/errors.ts'
import { merged } from '../../src/storage/filesystem/folder-names.ts'
import { createFolderSync } from '../../src/storage/filesystem/folders.ts'
import { createListing } from '../../src/storage/filesystem/listing.ts'
import { createReserve } from '../../src/storage/filesystem/reserve.ts'
import { openRoot } from '../../src/storage/filesystem/root.ts'
import { writeSource } from '../../src/storage/filesystem/writing.ts'
import { type FilesystemOptions, openFilesystem } from '../../src/storage/filesystem.ts'
import { guard } from '../../src/storage/guard.ts'
import { fault, MIB } from '../../src/storage-contract/parts.ts'
import { type Open, storageContract } from './contract.ts'

async function folder(t: Test): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'marina-storage-'))
  t.teardown(() => rm(path, { recursive: true, force: true }))
  return path
}

async function open(
  t: Test,
  options: Omit<FilesystemOptions, 'path'> = {}
): Promise<{ path: string; driver: StorageDriver }> {
  const path = await folder(t)
  return { path, driver: guard(await openFilesystem({ path, ...options })) }
}

/** Descriptors of this process that are open somewhere under the folder. */
function handlesIn(path: string): number {
  if (process.platform !== 'linux') return 0
  return readdirSync('/proc/self/fd').filter(descriptor => {
    try {
      return readlinkSync(`/proc/self/fd/${descriptor}`).startsWith(path)
    } catch {
      return false
    }
  }).length
}

/** @param options `local: false` runs the code for network folders. */
const openContract =
  (options: Omit<FilesystemOptions, 'path'>): Open =>
  async (t, clock) => {
    const { path, driver } = await open(t, { ...options, now: clock })
    const peer = guard(await openFilesystem({ path, ...options, now: clock }))
    const leftovers = async () => readdir(join(path, 'tmp'))
    return { driver, peer, leftovers, handles: () => handlesIn(path) }
  }

const modesIn = async (path: string, below: string): Promise<Record<string, string>> => {
  const modes: Record<string, string> = {}
  for (const name of ['', ...(await readdir(join(path, below), { recursive: true }))].sort()) {
    modes[join(below, name)] = ((await stat(join(path, below, name))).mode & 0o777).toString(8)
  }
  return modes
}

t.test('15.6: nobody but the owner may read what is private, and the umask decides for the rest', async t => {
  const umask = process.umask(0o022)
  t.teardown(() => process.umask(umask))
  const { path, driver } = await open(t, { privatePrefixes: ['secret/'] })
  for (const key of ['secret/a', 'secret/keys/b', 'open/keys/c', 'secrets/d']) {
    await driver.put(key, Buffer.from('bytes'), { ifAbsent: true })
    await driver.put(`${key}-again`, Buffer.from('bytes'))
    await driver.put(`${key}-empty`, Buffer.alloc(0))
  }
  for (const [name, mode] of Object.entries(await modesIn(path, 'secret'))) {
    t.equal(mode, /secret$|keys$/.test(name) ? '700' : '600', name)
  }
  for (const [name, mode] of Object.entries({
    ...(await modesIn(path, 'open')),
    ...(await modesIn(path, 'secrets'))
  })) {
    t.equal(mode, /open$|keys$|secrets$/.test(name) ? '755' : '644', name)
  }
  process.umask(0o027)
  await driver.put('open/e', Buffer.from('bytes'))
  t.equal((await modesIn(path, 'open'))['open/e'], '640', 'an umask of 027')
})

t.test(
  '15.6: another user opens a folder for reading, and is kept out of what is private alone',
  { skip: process.getuid?.() === 0 ? false : 'only root can become somebody else' },
  async t => {
    const path = await mkdtemp(join(tmpdir(), 'marina-private-'))
    t.teardown(() => rm(path, { recursive: true, force: true }))
    await chmod(path, 0o755)
    const privatePrefixes = ['secret/']
    const driver = await openFilesystem({ path, privatePrefixes })
    for (const key of ['secret/keys/a', 'open/b']) await driver.put(key, Buffer.from('bytes'))
    process.seteuid?.(10_002)
    t.teardown(() => process.seteuid?.(0))
    const other = await openFilesystem({ path, privatePrefixes, readOnly: true })
    t.strictSame(other.exposed, [])
    t.equal((await other.get('open/b'))?.bytes.toString(), 'bytes')
    await t.rejects(other.get('secret/keys/a'), { name: 'StorageError', message: /EACCES/ })
    process.seteuid?.(0)
  }
)

t.test('15.6: what others could read is closed when the folder is opened, and told', async t => {
  const { path, driver } = await open(t)
  for (const key of ['secret/a', 'secret/keys/b', 'open/c']) await driver.put(key, Buffer.from('bytes'))
  const privatePrefixes = ['secret/', 'absent/']
  const before = await modesIn(path, '.')
  const read = await openFilesystem({ path, privatePrefixes, readOnly: true })
  t.match(read.exposed, [/secret holds secrets that other users .* can't be corrected .*: run chmod -R go= /])
  t.strictSame(await modesIn(path, '.'), before, 'a folder that is only read is left as it is')

  const first = await openFilesystem({ path, privatePrefixes })
  t.equal(first.exposed.length, 1)
  t.match(first.exposed, [/^\S+secret holds secrets that other users of this machine could read: .* corrected/])
  t.match(await modesIn(path, 'secret'), {
    secret: '700',
    'secret/a': '600',
    'secret/keys': '700',
    'secret/keys/b': '600'
  })
  t.equal((await modesIn(path, 'open'))['open/c'], before['open/c'])
  t.strictSame((await openFilesystem({ path, privatePrefixes })).exposed, [], 'once')
  t.match((await first.get('secret/keys/b'))?.bytes.toString(), 'bytes')

  await chmod(join(path, 'secret'), 0o755)
  t.equal((await openFilesystem({ path, privatePrefixes })).exposed.length, 1, 'and again when somebody opens it')
})

storageContract(t, 'filesystem', openContract({}))
storageContract(t, 'network folder, hardly any buffers', openContract({ local: false, bufferMemory: 1024 * 1024 }))

t.test('opening', async t => {
  await t.test('makes the folder and says what it is', async t => {
    const path = join(await folder(t), 'new', 'folder')
    const driver = await openFilesystem({ path })
    t.same((await readdir(path)).sort(), ['.reserve', 'tmp', 'uploads'])
    t.type(driver.local, 'boolean')
    t.type(driver.ignoresCase, 'boolean')
    await driver.close()
  })

  await t.test('says in one line why it cannot', async t => {
    const path = await folder(t)
    await writeFile(join(path, 'file'), '')
    const error = await fault(t, 'failed', openFilesystem({ path: join(path, 'file', 'below') }))
    t.match(error.message, /^The folder .*below cannot be made \(ENOTDIR: a part of the path is a file\)\.$/)
  })

  await t.test('takes away leftovers older than a day', async t => {
    const path = await folder(t)
    await mkdir(join(path, 'tmp', 'old'), { recursive: true })
    await writeFile(join(path, 'tmp', 'old', 'file'), 'x')
    await writeFile(join(path, 'tmp', 'new'), 'x')
    const long = new Date(Date.now() - 25 * 60 * 60 * 1000)
    await utimes(join(path, 'tmp', 'old'), long, long)
    await (await openFilesystem({ path })).close()
    t.same(await readdir(join(path, 'tmp')), ['new'])
  })
})

t.test('keys inside the driver’s own folders are refused, and never listed', async t => {
  const { path, driver } = await open(t)
  await mkdir(join(path, 'lost+found'))
  await writeFile(join(path, 'lost+found', 'x'), '')
  await writeFile(join(path, 'tmp', 'x'), '')
  await driver.append('u', only('x'), { key: 'made', from: undefined, writer: 'one' })
  for (const key of ['tmp', 'tmp/x', 'uploads', 'uploads/u']) {
    await fault(t, 'failed', driver.get(key))
    await fault(t, 'failed', driver.put(key, Buffer.alloc(0)))
    await fault(t, 'failed', driver.delete([key]))
    await fault(t, 'failed', driver.commit('u', key, { size: 1, writer: 'one' }))
  }
  await fault(t, 'failed', driver.list('uploads/u/'))
  await driver.put('uploads-of-mine', Buffer.alloc(0))
  await driver.put('top/keys/x', Buffer.alloc(0))
  await writeFile(join(path, 'top', '.DS_Store'), '')
  t.same(await driver.list(''), [{ key: 'top/keys/x' }, { key: 'uploads-of-mine' }])
  t.same(await driver.list('', { folders: true }), [{ key: 'top/' }, { key: 'uploads-of-mine' }])
  t.same(await driver.list('u'), [{ key: 'uploads-of-mine' }])
})

t.test('a fault never looks like a missing object', async t => {
  for (const local of [true, false]) {
    const { path, driver } = await open(t, { local })
    await symlink('loop', join(path, 'loop'))
    await fault(t, 'failed', driver.stat('loop/x'))
    await fault(t, 'failed', driver.get('loop/x'))
    await fault(t, 'failed', driver.read('loop/x'))
    await fault(t, 'failed', driver.list('loop/'))
    await fault(t, 'failed', driver.put('loop/x', Buffer.from('x')))

    await rename(path, `${path}-away`)
    t.teardown(() => rm(`${path}-away`, { recursive: true, force: true }))
    for (const [i, call] of [
      () => driver.stat('k'),
      () => driver.get('some/k'),
      () => driver.read('k'),
      () => driver.list('some/'),
      () => driver.list(''),
      () => driver.delete(['some/k']),
      () => driver.put('some/k', Buffer.from('x')),
      () => driver.put('some/k', Buffer.alloc(0)),
      () => driver.upload('u'),
      () => driver.abort('u'),
      () => driver.append('u', only('x'), { key: 'made', from: undefined, writer: 'one' }),
      () => driver.commit('u', 'k', undefined)
    ].entries()) {
      await fault(t, 'unavailable', call(), `call ${i} without the folder`)
    }
    await t.rejects(stat(path), 'nobody makes the folder anew')
  }
})

t.test('an unmounted disk, whose empty folder is still there, is no empty store', async t => {
  const { path, driver } = await open(t, { local: true })
  await rename(path, `${path}-away`)
  t.teardown(() => rm(`${path}-away`, { recursive: true, force: true }))
  await mkdir(path)
  await fault(t, 'unavailable', driver.get('k'))
  await fault(t, 'unavailable', driver.list('some/'))
})

t.test('a cached listing shows every change', async t => {
  const { path, driver } = await open(t)
  const other = await openFilesystem({ path })
  const keys = async (): Promise<string[]> => (await driver.list('f/', { ages: true })).map(({ key }) => key)
  await driver.put('f/b', Buffer.from('x'))
  await pause(80)
  t.same(await keys(), ['f/b'])
  t.same(await keys(), ['f/b'], 'from memory')
  await other.put('f/a', Buffer.alloc(0))
  t.same(await keys(), ['f/a', 'f/b'])
  await pause(80)
  await keys()
  const [before] = await driver.list('f/b', { ages: true })
  await other.put('f/b', Buffer.from('y'))
  const [after] = await driver.list('f/b', { ages: true })
  t.ok(after!.ageMs! < before!.ageMs!, 'a replaced object is young')
  await pause(80)
  await keys()
  await other.delete(['f/a', 'f/b'])
  t.same(await keys(), [])
  await other.put('f/c', Buffer.alloc(0))
  t.same(await keys(), ['f/c'], 'a folder that went and came back')
})

/** A root that counts the folders which are read. */
async function countingRoot(path: string, local = true) {
  const root = await openRoot({ path, now: Date.now, local })
  let read = 0
  const confine = async (folder: string): Promise<void> => {
    read++
    await root.confine(folder)
  }
  return { root: { ...root, confine }, read: () => read }
}

t.test('a folder with more names than all that are kept is read once, too', async t => {
  const path = await folder(t)
  for (const folder of ['many', 'others']) {
    await mkdir(join(path, folder))
    for (let key = 0; key < 30; key++) await writeFile(join(path, folder, String(key).padStart(2, '0')), '')
  }
  await pause(100) // a change within a tick of the clock would go unseen
  const { root, read } = await countingRoot(path)
  const { list } = createListing(root, 20)
  const pages = async (folder: string) => {
    let keys: string[] = []
    for (let after = ''; keys.length < 30; after = keys.at(-1)!) {
      keys = keys.concat((await list(`${folder}/`, { after, limit: 10 })).map(({ key }) => key))
    }
  }
  await pages('many')
  await pages('many')
  t.equal(read(), 1)
  await pages('others')
  await pages('many')
  t.equal(read(), 3, 'but one such folder is kept at a time')
  await writeFile(join(path, 'many', 'one more'), '')
  t.equal((await list('many/', { limit: 100 })).length, 31)
})

t.test('a large folder is read in pieces, and comes in order', async t => {
  const path = await folder(t)
  const names = Array.from({ length: 3000 }, (_, i) => `k${(i * 7919) % 3000}`)
  await mkdir(join(path, 'large', 'k5.folder'), { recursive: true })
  for (const name of [...names, '.hidden']) await writeFile(join(path, 'large', name), '')
  const { list } = createListing(await openRoot({ path, now: Date.now, local: true }))
  const keys = async () => (await list('large/', { folders: true })).map(({ key }) => key)
  const sorted = [...names, 'k5.folder/'].map(name => `large/${name}`).sort()
  t.same(await keys(), sorted)
  await symlink('k1', join(path, 'large', 'link'))
  await t.rejects(keys(), { fault: 'failed', message: /large\/link is a symbolic link/ })
})

t.test('sorted lists are merged into one', async () => {
  const lists = fc.array(fc.array(fc.string(), { maxLength: 5 }), { maxLength: 9 })
  await fc.assert(
    fc.asyncProperty(lists, async lists => {
      const expected = lists.flat().sort()
      assert.deepEqual(await merged(lists.map(list => list.sort())), expected)
    })
  )
})

t.test('a long listing keeps what it passes only where there is room', async t => {
  const path = await folder(t)
  for (const folder of ['busy', ...Array.from({ length: 10 }, (_, i) => `passed/${i}`)]) {
    await mkdir(join(path, folder), { recursive: true })
    await writeFile(join(path, folder, 'k'), '')
  }
  await pause(100)
  const { root, read } = await countingRoot(path)
  const { list } = createListing(root, 50)
  await list('busy/', {})
  t.equal((await list('passed/', { limit: 100, since: performance.now() })).length, 10)
  t.equal(read(), 12)
  await list('busy/', {})
  await list('passed/0/', {})
  t.equal(read(), 12)
  await list('passed/9/', {})
  t.equal(read(), 13)
})

t.test('a folder that changes all the time is read once for a long listing', async t => {
  const path = await folder(t)
  await mkdir(join(path, 'busy'))
  const change = (name: string) => writeFile(join(path, 'busy', name), '')
  for (let key = 0; key < 30; key++) await change(`k${String(key).padStart(2, '0')}`)
  for (const local of [true, false]) {
    const { root, read } = await countingRoot(path, local)
    const { list } = createListing(root)
    const pages = async (since?: number): Promise<number> => {
      const before = read()
      for (let after = ''; after < 'busy/k29'; ) {
        await change(`x${read()}`)
        after = (await list('busy/', { after, limit: 10, ages: true, ...(since && { since }) })).at(-1)!.key
      }
      return read() - before
    }
    const began = performance.now()
    t.equal(await pages(began), 1)
    t.equal(await pages(began), 0)
    t.equal(await pages(performance.now()), 1, 'one that began later')
    t.equal(await pages(), 3, 'one that wants each page as it is')

    const old = new Date(Date.now() - 3600e3)
    await utimes(join(path, 'busy', 'k00'), old, old)
    const since = performance.now()
    const age = async () => (await list('busy/', { limit: 1, ages: true, since }))[0]?.ageMs ?? 0
    t.ok((await age()) > 3500e3)
    await rm(join(path, 'busy', 'k00'))
    await change('k00')
    t.ok((await age()) < 3500e3, 'ages are those of now')
  }
})

t.test('empty folders go, top-level ones stay', async t => {
  const { path, driver } = await open(t)
  await driver.put('top/a/b/c', Buffer.alloc(0))
  await driver.put('top/a/x', Buffer.alloc(0))
  await driver.delete(['top/a/b/c'])
  t.same(await readdir(join(path, 'top', 'a')), ['x'])
  await driver.delete(['top/a/x'])
  t.same(await readdir(join(path, 'top')), [])
  await mkdir(join(path, 'top', 'left', 'by', 'a-crash'), { recursive: true })
  t.same(await driver.list('top/', { folders: true }), [{ key: 'top/left/' }])
  await driver.delete(['top/left/by/a-crash/any'])
  t.same(await driver.list('top/', { folders: true }), [])
})

t.test('folder syncs are shared by those who wait', async t => {
  const path = await folder(t)
  for (const local of [true, false]) {
    const sync = createFolderSync(local, async () => {})
    const [running, waiting, alsoWaiting] = [sync(path), sync(path), sync(path)]
    t.not(running, waiting, 'what runs may have begun too early')
    t.equal(waiting, alsoWaiting)
    await Promise.all([running, waiting])
    await sync(join(path, 'gone'))
  }
})

t.test('an upload is finished wherever a crash left it', async t => {
  const state = { size: 3, writer: 'one' }
  const begun = async (t: Test, closing: boolean) => {
    const { path, driver } = await open(t)
    await driver.append('u', only('abc'), { key: 'content/c', from: undefined, writer: 'one', closing })
    const session = join(path, 'uploads', 'u')
    const [name = ''] = await readdir(session)
    return { path, file: join(session, name), session, reopened: guard(await openFilesystem({ path })) }
  }

  await t.test('after the link', async t => {
    const { path, file, reopened } = await begun(t, true)
    await mkdir(join(path, 'content'))
    await link(file, join(path, 'content', 'c'))
    t.same(await reopened.commit('u', 'content/c', state), { size: 3, existed: true })
    t.equal(await reopened.upload('u'), undefined)
    t.equal((await stat(join(path, 'content', 'c'))).nlink, 1)
  })

  await t.test('after the link, when another goes on: the object stays as it is', async t => {
    const { path, file, reopened } = await begun(t, true)
    await mkdir(join(path, 'content'))
    await link(file, join(path, 'content', 'c'))
    await reopened.append('u', only('more'), { key: 'content/c', from: state, writer: 'two' })
    t.equal((await reopened.get('content/c'))?.bytes.toString(), 'abc')
    t.same(await reopened.upload('u'), { size: 7, writer: 'two' })
  })

  await t.test('before it', async t => {
    for (const closing of [true, false]) {
      const { reopened } = await begun(t, closing)
      t.same(await reopened.commit('u', 'content/c', state), { size: 3, existed: false })
      t.equal((await reopened.get('content/c'))?.bytes.toString(), 'abc')
    }
  })

  await t.test('in the middle of a takeover: the upload is begun anew', async t => {
    const { file, session, reopened } = await begun(t, false)
    await rm(file)
    t.equal(await reopened.upload('u'), undefined)
    const listed: string[] = []
    for await (const { id } of reopened.listUploads()) listed.push(id)
    t.same(listed, ['u'], 'so that it can expire')
    await reopened.append('u', only('anew'), { key: 'content/c', from: undefined, writer: 'two' })
    t.same(await reopened.upload('u'), { size: 4, writer: 'two' })
    await reopened.abort('u')
    await t.rejects(readdir(session))
  })

  await t.test('with the object gone wrong in its way', async t => {
    const { path, reopened } = await begun(t, false)
    await writeFile(join(path, 'content'), 'a file where a folder belongs')
    await fault(t, 'failed', reopened.commit('u', 'content/c', state))
    t.same(await reopened.upload('u'), state, 'the upload is as it was')
    await rm(join(path, 'content'))
    t.same(await reopened.commit('u', 'content/c', state), { size: 3, existed: false })
  })
})

t.test('an upload that another takes over on a slow disk is there all the time', async t => {
  const { path, driver } = await open(t)
  await driver.append('u', only('abc'), { key: 'content/c', from: undefined, writer: 'one' })
  const session = join(path, 'uploads', 'u')
  const [name = ''] = await readdir(session)
  await rename(join(session, name), join(path, 'tmp', name))
  const [upload] = await Promise.all([
    driver.upload('u'),
    pause(150).then(() => rename(join(path, 'tmp', name), join(session, name)))
  ])
  t.same(upload, { size: 3, writer: 'one' })
})

t.test('takes over from another process that is stuck, and from one that was killed', async t => {
  for (const kill of [false, true]) {
    const { path, driver } = await open(t)
    const child = stuckWriter(path, 'u')
    t.teardown(() => child.kill('SIGKILL'))
    await once(child, 'message')
    const exited = once(child, 'exit')
    if (kill) {
      child.kill('SIGKILL')
      await exited
    }
    const state = await settled(driver, 'u')
    t.equal(state?.writer, 'stuck')
    const size = await driver.append('u', only('mine'), { key: 'made', from: state, writer: 'me' })
    if (!kill) {
      child.send('go on')
      await once(child, 'message')
    }
    await driver.commit('u', 'made', { size, writer: 'me' })
    const bytes = (await driver.get('made'))?.bytes
    t.ok(bytes?.equals(Buffer.concat([Buffer.alloc(size - 4, 's'), Buffer.from('mine')])), `${size} bytes`)
    child.kill('SIGKILL')
  }
})

function stuckWriter(path: string, id: string): ChildProcess {
  return fork(new URL('stuck-writer.ts', import.meta.url), [path, id], {
    execArgv: ['--import', 'tsx'],
    env: { PATH: process.env.PATH }
  })
}

/** The upload once its size stands still: a batch may be on its way to the disk when a source waits. */
async function settled(driver: StorageDriver, id: string): Promise<Awaited<ReturnType<StorageDriver['upload']>>> {
  for (let before = -1; ; await pause(50)) {
    const state = await driver.upload(id)
    if (state && state.size > 0 && state.size === before) return state
    before = state?.size ?? -1
  }
}

async function* only(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text)
}

t.test('a write that fails keeps what the disk took', async t => {
  const disk = { took: '', truncatedTo: -1, room: 7, most: 3 }
  const handle = {
    writev: async (pieces: Uint8Array[]) => {
      const bytes = Buffer.concat(pieces).subarray(0, Math.min(disk.most, disk.room))
      if (bytes.length === 0) throw Object.assign(new Error('no room'), { code: 'ENOSPC' })
      disk.took += bytes.toString()
      disk.room -= bytes.length
      return { bytesWritten: bytes.length }
    },
    truncate: async (size: number) => {
      disk.truncatedTo = size
    }
  }
  let left = false
  const source = async function* (): AsyncGenerator<Uint8Array> {
    try {
      for (const text of ['ab', '', 'cdef', 'ghij', 'kl', 'mn']) yield Buffer.from(text)
    } finally {
      left = true
    }
  }
  const watched: string[] = []
  const share = { size: 4, take: () => Buffer.alloc(4) }
  const watch = (bytes: Uint8Array) => void watched.push(Buffer.from(bytes).toString())
  const written = await writeSource(handle, 100, source(), share, watch as never)
  t.equal(disk.took, 'abcdefg')
  t.match(written, { size: 107, writeFailed: { error: { code: 'ENOSPC' } } })
  t.strictSame(watched, ['abcd', 'efgh'])
  t.equal(disk.truncatedTo, 107)
  t.ok(left, 'the source is let go')
})

t.test('what the system says becomes a fault', async t => {
  for (const [code, expected] of [
    ['ENOSPC', 'full'],
    ['EDQUOT', 'full'],
    ['EIO', 'failed'],
    ['EROFS', 'unavailable'],
    ['EACCES', 'failed'],
    ['EMFILE', 'unavailable'],
    ['ESTALE', 'unavailable'],
    ['ENOENT', 'unavailable']
  ] as const) {
    const cause = Object.assign(new Error('it said so'), { code })
    t.match(storageError(cause, 'put k'), { fault: expected, message: 'put k: it said so', cause })
  }
})

t.test('buffers', async t => {
  await t.test('are as large as the others leave room for', async t => {
    const buffers = createBuffers(16 * MIB)
    const [first, small] = [buffers.open(), buffers.open(1)]
    t.equal(first.size, MIB / 4, 'a sixty-fourth of what is free')
    t.equal(small.size, MIB / 16, 'no more than the stream needs')
    const many = Array.from({ length: 40 }, () => buffers.open())
    t.equal(many.at(-1)?.size, MIB / 16, 'the least, when the budget is spent')
  })
  await t.test('are used again, by streams of every size', async t => {
    const buffers = createBuffers(64 * MIB)
    const memory = new Set<ArrayBufferLike>()
    const takeAll = (count: number, bytes?: number): void => {
      const shares = Array.from({ length: count }, () => buffers.open(bytes))
      for (const share of shares) for (let twice = 0; twice < 2; twice++) memory.add(share.take().buffer)
      for (const share of shares) share.end()
    }
    for (const [count, bytes] of [[1], [500, 1], [20], [3, MIB / 2], [100], [1]] as const) takeAll(count, bytes)
    t.ok(memory.size <= 64, `${memory.size} MiB`)
  })
  await t.test('are never two streams’ at once', async () => {
    const doing = fc.array(fc.record({ open: fc.boolean(), bytes: fc.nat(2 * MIB), which: fc.nat(30) }), {
      maxLength: 60
    })
    fc.assert(
      fc.property(doing, fc.constantFrom(0, MIB, 9.5 * MIB), (doing, budget) => {
        const buffers = createBuffers(budget)
        const open: { share: BufferShare; taken: Buffer[] }[] = []
        for (const { open: opens, bytes, which } of doing) {
          const [ended] = opens ? [] : open.splice(which, 1)
          ended?.share.end()
          if (!opens) continue
          const share = buffers.open(bytes)
          open.push({ share, taken: which % 2 ? [share.take(), share.take()] : [share.take()] })
        }
        const taken = open.flatMap(({ taken }) => taken)
        for (const [number, buffer] of taken.entries()) buffer.fill(number)
        return taken.every((buffer, number) => buffer.every(byte => byte === number))
      }),
      { numRuns: 50 }
    )
  })
})

const noRoom = (): Error => Object.assign(new Error('no room'), { code: 'ENOSPC' })

/** Has each write to a file fail as on a disk that has so many bytes left, until the test ends. */
async function fillDisk(t: Test, path: string, left: number): Promise<() => void> {
  const handle = await openFile(path, 'r')
  const kind = Object.getPrototypeOf(handle)
  await handle.close()
  const { writev } = kind
  const empty = (): void => void Object.assign(kind, { writev })
  t.teardown(empty)
  kind.writev = async function (pieces: Uint8Array[], position: number) {
    const bytes = Buffer.concat(pieces).subarray(0, left)
    if (bytes.length === 0) throw noRoom()
    left -= bytes.length
    return writev.call(this, [bytes], position)
  }
  return empty
}

t.test('15.29: an append that finds no room gives back what it wrote', async t => {
  const begun = await open(t)
  const empty = await fillDisk(t, begun.path, 100)
  const begin = { key: 'made', from: undefined, writer: 'one' }
  await fault(t, 'full', begun.driver.append('new', only('x'.repeat(300)), begin))
  t.equal(await begun.driver.upload('new'), undefined, 'all of it, where it began the upload')
  t.same(await readdir(join(begun.path, 'uploads')), [])

  empty()
  const { path, driver } = await open(t)
  await driver.append('u', only('acknowledged'), begin)
  await fillDisk(t, path, 100)
  const from = { size: 12, writer: 'one' }
  await fault(t, 'full', driver.append('u', only('y'.repeat(300)), { ...begin, from, writer: 'two' }))
  t.same(await driver.upload('u'), { size: 12, writer: 'two' }, 'what was acknowledged stays')
})

t.test('15.5: room is kept for deletions', async t => {
  const { path, driver } = await open(t)
  const root = await openRoot({ path, now: Date.now })
  const reserve = createReserve(root)
  const sizes = async () =>
    Promise.all(
      (await readdir(join(path, '.reserve'))).map(async name => (await stat(join(path, '.reserve', name))).size)
    )
  t.same(await sizes(), Array(8).fill(32 * 1024), 'from the start on')
  t.same(await driver.list(''), [], 'it is no key')

  /** Work that needs so many of the files to be gone. */
  const needing = (most: number) => async () => {
    if ((await sizes()).length > most) throw noRoom()
    return 'done'
  }
  t.equal(await reserve.spend(needing(8)), 'done')
  t.equal((await sizes()).length, 8, 'it is not taken while there is room')
  const works = Array.from({ length: 10 }, () => reserve.spend(needing(0)))
  t.same(await Promise.all(works), Array(10).fill('done'), 'several that find no room at once')
  t.same(await sizes(), [])
  await t.rejects(
    reserve.spend(async () => Promise.reject(noRoom())),
    { code: 'ENOSPC' },
    'when there is no more'
  )
  await t.rejects(
    reserve.spend(async () => Promise.reject(new Error('another'))),
    /another/
  )
  await reserve.fill()
  t.equal((await sizes()).length, 8)
  await reserve.settled()
})
