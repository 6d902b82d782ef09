import { execFileSync } from 'node:child_process'
import { mkdtemp, readdir, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as later } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { openFilesystem } from '../../src/storage/filesystem.ts'
import { digestOf, IMAGE, random } from '../support/images.ts'
import { openRegistry } from '../support/registry.ts'

/** What is put in a part's place; `outside` is a folder that is none of the registry's. */
const plants: Record<string, (path: string, outside: string) => Promise<void>> = {
  'a link to the part, moved away': async (path, outside) => {
    await rename(path, join(outside, 'moved'))
    await symlink(join(outside, 'moved'), path)
  },
  'a link to another folder': async (path, outside) => {
    await rm(path, { recursive: true })
    await symlink(outside, path)
  },
  'a link to nothing': async (path, outside) => {
    await rm(path, { recursive: true })
    await symlink(join(outside, 'nothing'), path)
  },
  'a link to itself': async path => {
    await rm(path, { recursive: true })
    await symlink(path, path)
  },
  'a link to a device': async path => {
    await rm(path, { recursive: true })
    await symlink('/dev/zero', path)
  },
  'a FIFO': async path => {
    await rm(path, { recursive: true })
    execFileSync('mkfifo', [path])
  }
}

const blob = random(100)
const large = random(100_000)

async function scratch(t: Test): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'marina-planted-'))
  t.teardown(() => rm(path, { recursive: true, force: true }))
  return path
}

/** A registry on a folder, with an image `a:v1` and an upload that has begun; then the part is planted upon. */
async function planted(t: Test, part: string, plant: (path: string, outside: string) => Promise<void>) {
  const [path, outside] = [join(await scratch(t), 'registry'), await scratch(t)]
  await writeFile(join(outside, 'secret'), 'secret')
  const before = await openRegistry(t, await openFilesystem({ path }))
  await before.pushBlob('a', blob)
  await before.pushBlob('a', large)
  const image = await before.pushImage('a', 'v1')
  const session = await before.begin('a')
  await before.patch(session, blob)
  // One that remembers nothing, opened now because some of these it would not start on.
  const registry = await openRegistry(t, await openFilesystem({ path }))
  const place = await placeOf(path, part)
  await plant(place, outside)
  return { ...registry, path, outside, image, session }
}

/** A path below the folder; `*` is the first name there. */
async function placeOf(path: string, part: string): Promise<string> {
  let at = path
  for (const name of part.split('/')) at = join(at, name === '*' ? (await readdir(at)).sort()[0]! : name)
  return at
}

/** Everything below a folder, with its size. */
async function census(folder: string): Promise<string[]> {
  const names = (await readdir(folder, { recursive: true })).sort()
  return Promise.all(names.map(async name => `${name} ${(await stat(join(folder, name))).size}`))
}

const parts: [part: string, requests: readonly (readonly [method: string, path: string])[]][] = [
  [
    'repositories/a',
    [
      ['GET', 'tags/list'],
      ['GET', 'manifests/v1'],
      ['GET', `blobs/${digestOf(blob)}`]
    ]
  ],
  ['repositories/a/_manifests', [['GET', 'manifests/v1']]],
  ['repositories/a/_manifests/sha256/*/*', [['GET', 'manifests/v1']]],
  [
    'repositories/a/_tags/v1!',
    [
      ['GET', 'manifests/v1'],
      ['DELETE', 'manifests/v1'],
      ['GET', 'tags/list']
    ]
  ],
  [
    'repositories/a/_blobs/sha256',
    [
      ['HEAD', `blobs/${digestOf(blob)}`],
      ['DELETE', `blobs/${digestOf(blob)}`]
    ]
  ],
  ['catalog', [['GET', '../_catalog']]],
  [
    'content',
    [
      ['GET', `blobs/${digestOf(blob)}`],
      ['GET', `blobs/${digestOf(large)}`]
    ]
  ]
]

for (const [part, requests] of parts) {
  t.test(`${part} is something else`, async t => {
    for (const [what, plant] of Object.entries(plants)) {
      const { send, outside, path, putManifest, pushBlob, image, session, patch, begin } = await planted(t, part, plant)
      const before = await census(outside)
      for (const [method, path] of requests) {
        const answer = await send(method, path.startsWith('..') ? path.replace('..', '/v2') : `/v2/a/${path}`)
        t.equal(answer.status, 500, `${method} ${path}: ${what}`)
        if (method !== 'HEAD') {
          t.match(answer.body.toString(), /"code":"UNKNOWN".*"incident":"[0-9a-f]{16}"/, `${method} ${path}: ${what}`)
        }
        t.notMatch(answer.body.toString(), new RegExp(`secret|${outside}|repositories/`), what)
      }
      // Whatever these come to, they come to an end, and to nothing outside.
      await Promise.allSettled([
        putManifest('a', 'v2', image.bytes, IMAGE),
        pushBlob('a', random(10)),
        patch(session, blob),
        begin('a').then(fresh => patch(fresh, blob)),
        send('DELETE', `/v2/a/manifests/${image.digest}`),
        send('DELETE', `/v2/a/blobs/${digestOf(blob)}`)
      ])
      t.strictSame(await census(outside), before, `nothing outside has changed: ${what}`)
      t.ok((await readdir(path)).includes('content'))
    }
  })
}

t.test('what is planted while it runs is not followed, in a folder that it knows or above', async t => {
  for (const [what, plant] of Object.entries(plants)) {
    for (const part of ['a', 'a/b/c']) {
      const [path, outside] = [join(await scratch(t), 'registry'), await scratch(t)]
      const driver = await openFilesystem({ path })
      await driver.put('a/b/c/one', blob)
      await driver.put('a/b/c/empty', Buffer.alloc(0))
      await plant(join(path, part), outside)
      // What was moved and linked to is the same folder: that is noticed when the folders above it are looked at again.
      if (what.includes('moved') && part === 'a') await later(1100)
      const before = await census(outside)
      const calls: (() => Promise<unknown>)[] = [
        () => driver.put('a/b/c/two', blob),
        () => driver.put('a/b/c/none', Buffer.alloc(0)),
        () => driver.put('a/b/c/new/two', blob),
        () => driver.get('a/b/c/one'),
        () => driver.delete(['a/b/c/one'])
      ]
      for (const call of calls) {
        await t.rejects(
          call().then(() => undefined),
          { fault: 'failed', message: /never follow/ },
          `${what} at ${part}`
        )
      }
      t.strictSame(await census(outside), before, `${what} at ${part}`)
      await driver.close()
    }
  }
})

t.test('the start refuses links in the folder itself, and takes a folder that is one', async t => {
  const [path, outside] = [await scratch(t), await scratch(t)]
  for (const name of ['tmp', 'uploads', 'content']) {
    await symlink(outside, join(path, name))
    await t.rejects(openFilesystem({ path }), { fault: 'failed', message: /symbolic link/ }, name)
    await rm(join(path, name))
  }
  t.strictSame(await readdir(outside), [], 'nothing was written there')
  const link = join(outside, 'registry')
  await symlink(path, link)
  const { pushImage, getManifest } = await openRegistry(t, await openFilesystem({ path: link }))
  const { digest } = await pushImage('a', 'v1')
  t.match(await getManifest('a', 'v1'), { status: 200, headers: { 'docker-content-digest': digest } })
  const { tags } = await openRegistry(t, await openFilesystem({ path }))
  t.strictSame(await tags('a'), ['v1'])
})

t.test('what stands in an upload’s place is not written to', async t => {
  for (const [what, plant] of Object.entries(plants)) {
    for (const part of ['uploads', 'uploads/*', 'uploads/*/*', 'tmp']) {
      const { outside, session, patch, send, begin } = await planted(t, part, plant)
      const before = await census(outside)
      const answers = await Promise.all([
        ...(part === 'tmp' ? [] : [patch(session, blob), send('GET', session)]),
        ...(part.includes('*') ? [] : [begin('a').then(fresh => patch(fresh, blob))])
      ])
      t.strictSame([...new Set(answers.map(answer => answer.status))], [500], `${part}: ${what}`)
      await send('DELETE', session)
      t.strictSame(await census(outside), before, `${part}: ${what}`)
    }
  }
})
