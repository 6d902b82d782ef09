import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { setImmediate as later } from 'node:timers/promises'
import t from 'tap'
import { type Digest, digestBytes } from '../../src/registry/digest.ts'
import { RegistryError } from '../../src/registry/errors.ts'
import { contentKey, ENDED, parseLink } from '../../src/registry/keys.ts'
import type { Registry } from '../../src/registry/registry.ts'
import { crash, everyOrder, type Run } from '../support/interleave.ts'
import { chunk, createWorld, EXPIRY, textOf, type World } from '../support/world.ts'

const APP = 'team/app'
/** For a process that takes every body of these tests for a small one. */
const SMALL = { smallBytes: 1024 }
const digestOf = (text: string): Digest => digestBytes(Buffer.from(text))

/** What a client is told, in a word. */
const told = (answer: Promise<unknown>): Promise<string> =>
  answer.then(
    () => 'ok',
    error => {
      if (error instanceof RegistryError) return error.kind
      throw error
    }
  )

/** A session that these bytes were sent to. */
async function sessionOf({ uploads }: Registry, name: string, text: string): Promise<string> {
  return (await uploads.append(name, await uploads.start(name), chunk(text))).session
}

async function pushBlob(registry: Registry, name: string, text: string): Promise<void> {
  await registry.uploads.finish(name, await registry.uploads.start(name), digestOf(text), chunk(text))
}

/** Every link names content that is there, of the size it says. */
async function checkLinks({ storage, keys }: World): Promise<void> {
  for (const key of await keys('repositories/')) {
    if (!key.includes('/_blobs/')) continue
    const { content, size } = parseLink(key)
    assert.equal((await storage.stat(contentKey(content)))?.size, size, `the content of ${key}`)
  }
}

/** So many contents are there, and none that no link names. */
async function checkContents({ keys }: World, count: number): Promise<void> {
  const linked = (await keys('repositories/'))
    .filter(key => key.includes('/_blobs/'))
    .map(key => parseLink(key).content)
  const contents = await keys('content/')
  assert.equal(contents.length, count)
  for (const key of contents)
    assert.ok(
      linked.some(content => key === contentKey(content)),
      `${key} is linked`
    )
}

/** A body that the test sends piece by piece. */
function createBody() {
  const source = new PassThrough()
  return {
    source,
    length: undefined,
    send: (text: string): void => void source.write(text),
    end: (): void => void source.end()
  }
}

/** Waits until the only upload there is has so many bytes. */
async function arrived({ storage, uploads }: World, size: number): Promise<void> {
  for (let looks = 0; looks < 1000; looks++) {
    const [id] = await uploads()
    if (id !== undefined && (await storage.upload(id))?.size === size) return
    await later()
  }
  throw new Error('the bytes do not arrive')
}

t.test('a session that has ended takes nothing any more, in any process', async t => {
  const endings: Record<string, (registry: Registry, session: string) => Promise<unknown>> = {
    finished: ({ uploads }, session) => uploads.finish(APP, session, digestOf('blob'), chunk()),
    cancelled: ({ uploads }, session) => uploads.cancel(APP, session),
    failed: ({ uploads }, session) => told(uploads.finish(APP, session, digestOf('other'), chunk()))
  }
  for (const [ending, end] of Object.entries(endings)) {
    const world = createWorld()
    const here = world.process()
    const session = await sessionOf(here, APP, 'blob')
    await end(here, session)
    for (const { uploads } of [here, world.process()]) {
      t.equal(await told(uploads.append(APP, session, chunk('more'))), 'upload-unknown', `${ending}: PATCH`)
      t.equal(await told(uploads.status(APP, session)), 'upload-unknown', `${ending}: GET`)
      t.equal(await told(uploads.cancel(APP, session)), 'upload-unknown', `${ending}: DELETE`)
      t.equal(
        await told(uploads.finish(APP, session, digestOf('other'), chunk('other'))),
        'upload-unknown',
        `${ending}: PUT`
      )
      const again = await told(uploads.finish(APP, session, digestOf('blob'), chunk()))
      t.equal(again, ending === 'finished' ? 'ok' : 'upload-unknown', `${ending}: the same PUT again`)
    }
    t.strictSame(await world.uploads(), [], `${ending}: no upload is left`)
    const contents = await world.keys('content/')
    t.equal(contents.length, ending === 'finished' ? 1 : 0, `${ending}: nor content that is no blob`)
  }
})

t.test('a session goes on in another process', async t => {
  const world = createWorld()
  const [a, b] = [world.process(), world.process()]
  const first = await a.uploads.append(APP, await a.uploads.start(APP), chunk('one ', { start: 0, end: 3 }))
  t.equal((await b.uploads.status(APP, first.session)).size, 4)
  const second = await b.uploads.append(APP, first.session, chunk('two ', { start: 4, end: 7 }))
  t.equal(second.size, 8)
  await a.uploads.finish(APP, second.session, digestOf('one two three'), chunk('three', { start: 8, end: 12 }))
  t.equal(await textOf(b, APP, digestOf('one two three')), 'one two three')
  const reads = (): number => world.calls.filter(call => call.startsWith('read content/')).length
  t.equal(reads(), 1, 'what two wrote is read again before it is a blob')

  await a.uploads.finish(APP, await sessionOf(a, APP, 'alone'), digestOf('alone'), chunk())
  t.equal(reads(), 1, 'what one wrote is not')
})

t.test('two processes write to a session at once: one is told where to go on', async t => {
  const world = createWorld()
  const [a, b] = [world.process(), world.process()]
  const session = await a.uploads.start(APP)
  const body = createBody()
  const slow = a.uploads.append(APP, session, body)
  body.send('one ')
  await arrived(world, 4)
  const taken = await b.uploads.append(APP, session, chunk('two ', { start: 4, end: 7 }))
  t.equal(taken.size, 8)
  body.send('late') // now this process has hashed as many bytes as are stored, and they are others
  body.end()
  const refused = await slow.catch((error: unknown) => error)
  t.match(refused, { kind: 'upload-out-of-order', details: [{ size: 8 }] })
  t.equal((await a.uploads.status(APP, taken.session)).size, 8, 'GET tells the same')
  await a.uploads.finish(APP, taken.session, digestOf('one two three'), chunk('three', { start: 8, end: 12 }))
  t.equal(await textOf(b, APP, digestOf('one two three')), 'one two three')
})

t.test('in one process the newcomer has the session, and what had come counts', async t => {
  const world = createWorld()
  const { uploads } = world.process()
  const session = await uploads.start(APP)
  const hanging = createBody()
  const slow = uploads.append(APP, session, hanging)
  hanging.send('one ')
  await arrived(world, 4)
  const finished = uploads.finish(APP, session, digestOf('one two'), chunk('two', { start: 4, end: 6 }))
  t.equal(await told(slow), 'upload-out-of-order')
  await finished
  t.equal(
    world.calls.filter(call => call.startsWith('read ')).length,
    0,
    'one process wrote all: nothing is read again'
  )
})

t.test('a power cut may take the word of how a session ended, and nothing else', async t => {
  const world = createWorld()
  const registry = world.process()
  const session = await sessionOf(registry, APP, 'blob')
  await registry.uploads.finish(APP, session, digestOf('blob'), chunk())
  for (const lose of [
    (keys: string[]) => world.storage.delete(keys),
    (keys: string[]) => Promise.all(keys.map(key => world.storage.put(key, Buffer.from('{"dig'))))
  ]) {
    await lose(await world.keys(ENDED))
    const wrong = await told(registry.uploads.finish(APP, session, digestOf('other'), chunk()))
    t.match(wrong, /^(digest-mismatch|upload-unknown)$/)
    t.equal(await textOf(world.process(), APP, digestOf('blob')), 'blob', 'the blob stays')
  }
})

t.test('a closing PUT that is repeated', async t => {
  const world = createWorld()
  const [a, b] = [world.process(), world.process()]
  const session = await sessionOf(a, APP, 'blob')
  const close = (registry: Registry) => registry.uploads.finish(APP, session, digestOf('blob'), chunk())
  await close(a)
  await close(b)
  await b.blobs.remove(APP, digestOf('blob'))
  t.equal(await told(close(a)), 'upload-unknown', 'it does not bring a deleted blob back')
  t.equal(await told(a.blobs.get(APP, digestOf('blob'))), 'blob-unknown')
})

t.test('content that is not what was sent, as some servers keep of a connection that broke', async t => {
  const world = createWorld()
  const registry = world.process()
  const session = await sessionOf(registry, APP, 'blob')
  await world.storage.put(contentKey(session.split('.')[0]!), Buffer.from('bl'))
  const close = () => registry.uploads.finish(APP, session, digestOf('blob'), chunk())
  t.equal(await told(close()), 'upload-unknown', 'is not what the client sent, and no fault of its digest')
  t.equal(await told(close()), 'upload-unknown')
  await pushBlob(registry, APP, 'blob')
  t.equal(await textOf(world.process(), APP, digestOf('blob')), 'blob', 'and can be pushed anew')
})

const requests = {
  right: ({ uploads }: Registry, name: string, session: string) =>
    uploads.finish(name, session, digestOf('blob'), chunk()),
  wrong: ({ uploads }: Registry, name: string, session: string) =>
    uploads.finish(name, session, digestOf('other'), chunk()),
  whole: ({ uploads }: Registry, name: string, session: string) =>
    uploads.finish(name, session, digestOf('blob'), chunk('blob')),
  cancel: ({ uploads }: Registry, name: string, session: string) => uploads.cancel(name, session),
  more: ({ uploads }: Registry, name: string, session: string) => uploads.append(name, session, chunk('!'))
}
type Request = keyof typeof requests

/** Requests on one session at the same time, each in a process of its own. */
interface Meeting {
  asked: [Request, Request]
  /** What the session holds before. */
  sent: string
  /** Another repository has the bytes, so that they are shared. */
  shared?: boolean
  /** The bytes that come are held in memory until they are content. */
  small?: boolean
  /** Which answers are right, in the order of the requests. */
  right: RegExp
}

const oneOrTheOther = /^(ok,upload-(unknown|out-of-order)|(upload-unknown|digest-mismatch),ok)$/
const meetings: Meeting[] = [
  { asked: ['right', 'right'], sent: 'blob', right: /^ok,ok$/ },
  { asked: ['right', 'right'], sent: 'blob', shared: true, right: /^ok,ok$/ },
  { asked: ['right', 'wrong'], sent: 'blob', right: /^(ok,upload-unknown|upload-unknown,digest-mismatch)$/ },
  {
    asked: ['right', 'wrong'],
    sent: 'blob',
    shared: true,
    right: /^(ok,upload-unknown|upload-unknown,digest-mismatch)$/
  },
  { asked: ['right', 'cancel'], sent: 'blob', right: oneOrTheOther },
  // Bytes that come twice may be taken for twice as many, or the session be taken over: no blob, and none is promised.
  { asked: ['whole', 'whole'], sent: '', right: /ok|digest-mismatch|upload-unknown,upload-unknown/ },
  { asked: ['right', 'more'], sent: 'blob', right: /ok|digest-mismatch/ },
  { asked: ['whole', 'whole'], sent: '', small: true, right: /^ok,ok$/ },
  { asked: ['whole', 'right'], sent: 'blob', small: true, right: /^ok,ok$/ },
  { asked: ['whole', 'cancel'], sent: '', small: true, right: /^(ok,upload-unknown|upload-unknown,ok)$/ },
  { asked: ['whole', 'cancel'], sent: 'bl', small: true, right: /^(ok,upload-unknown|upload-unknown,ok)$/ },
  { asked: ['whole', 'more'], sent: '', small: true, right: /^ok,(ok|upload-unknown)$/ },
  {
    asked: ['whole', 'wrong'],
    sent: '',
    small: true,
    right: /^(ok,(upload-unknown|digest-mismatch)|upload-unknown,digest-mismatch)$/
  }
]

t.test('requests that end a session at the same time', async t => {
  for (const { asked, sent, shared, small, right } of meetings) {
    const world = createWorld()
    const registry = world.process()
    const processes = asked.map(() => world.process(small ? SMALL : {}))
    let runs = 0
    const orders = await everyOrder(2, async () => {
      await world.clear()
      const name = `team/app${runs++}`
      if (shared) await pushBlob(registry, 'other', 'blob')
      const session = sent === '' ? await registry.uploads.start(name) : await sessionOf(registry, name, sent)
      return {
        works: asked.map((request, index) => () => told(requests[request](processes[index]!, name, session))),
        async check({ results }: Run<string>) {
          const answers = results.map(result => {
            if (result?.status !== 'fulfilled') throw result?.reason
            return result.value
          })
          assert.match(answers.join(), right)
          await checkLinks(world)
          const made = asked.some((request, index) => /right|whole/.test(request) && answers[index] === 'ok')
          if (small) await checkContents(world, made ? 1 : 0)
          const blob = await told(textOf(registry, name, digestOf('blob')).then(text => assert.equal(text, 'blob')))
          assert.equal(blob, made ? 'ok' : 'blob-unknown', `the blob after ${answers}`)
        }
      }
    })
    t.ok(
      orders >= (small ? 10 : 20),
      `${asked}${shared ? ' of shared bytes' : ''}${small ? ' of few' : ''}: ${orders} orders`
    )
  }
})

/** Closes a session as a client does that was told 416: it asks where to go on. */
async function goOn({ uploads }: Registry, session: string, text: string): Promise<void> {
  const { session: name, size } = await uploads.status(APP, session)
  const rest = text.slice(size)
  const range = { start: size, end: text.length - 1 }
  await uploads.finish(APP, name, digestOf(text), rest === '' ? chunk() : chunk(rest, range))
}

t.test('a closing PUT that was cut short anywhere', async t => {
  const beginnings: Record<string, (world: World) => Promise<unknown>> = {
    'bytes that are new': async () => {},
    'bytes that are shared': ({ process }) => pushBlob(process(), 'other', 'a blob')
  }
  for (const [beginning, begin] of Object.entries(beginnings)) {
    for (const sent of ['a blob', 'a ']) {
      const last = () => (sent === 'a ' ? chunk('blob', { start: 2, end: 5 }) : chunk())
      for (let calls = 0, ended = false; !ended; calls++) {
        const world = createWorld()
        await begin(world)
        const session = await sessionOf(world.process(), APP, sent)
        const close = () => world.process().uploads.finish(APP, session, digestOf('a blob'), last())
        ended = (await crash(calls, close)).ended
        await checkLinks(world)
        const registry = world.process()
        const again = await told(close())
        const title = `${beginning}, "${sent}" sent before, cut short after ${calls} calls: ${again}`
        t.match(again, /^(ok|upload-out-of-order)$/, title)
        if (again !== 'ok') await goOn(registry, session, 'a blob')
        t.equal(await textOf(registry, APP, digestOf('a blob')), 'a blob', title)
        await checkLinks(world)
      }
    }
  }
})

t.test('a blob pushed in one request that was cut short anywhere is pushed again', async t => {
  for (const options of [{}, SMALL]) {
    for (let calls = 0, ended = false; !ended; calls++) {
      const world = createWorld()
      const push = () => world.process(options).uploads.single(APP, digestOf('blob'), chunk('blob'))
      ended = (await crash(calls, push)).ended
      await checkLinks(world)
      await push()
      t.equal(await textOf(world.process(), APP, digestOf('blob')), 'blob', `after ${calls} calls`)
      await checkLinks(world)
    }
  }
})

t.test('a PUT of a whole small blob', async t => {
  const push = ({ uploads }: Registry, session: string) => uploads.finish(APP, session, digestOf('blob'), chunk('blob'))

  t.test('that was cut short anywhere is repeated', async t => {
    for (let calls = 0, ended = false; !ended; calls++) {
      const world = createWorld()
      const session = await world.process().uploads.start(APP)
      ended = (await crash(calls, () => push(world.process(SMALL), session))).ended
      await checkLinks(world)
      await push(world.process(SMALL), session)
      t.equal(await textOf(world.process(), APP, digestOf('blob')), 'blob', `after ${calls} calls`)
      await checkLinks(world)
    }
  })

  t.test('asks the store for nothing', async t => {
    const world = createWorld()
    const { uploads } = world.process(SMALL)
    await uploads.finish(APP, await uploads.start(APP), digestOf('first'), chunk('first'))
    world.calls.length = 0
    await uploads.finish(APP, await uploads.start(APP), digestOf('blob'), chunk('blob'))
    t.match(world.calls, [/^put content\//, /^put ended\//, /^put repositories\//, /^put digests\//])
    t.equal(world.calls.length, 4)
  })

  t.test('brings no blob back that was deleted', async t => {
    const world = createWorld()
    const registry = world.process(SMALL)
    const session = await registry.uploads.start(APP)
    await push(registry, session)
    await registry.blobs.remove(APP, digestOf('blob'))
    t.equal(await told(push(registry, session)), 'upload-unknown')
    await world.storage.delete([...(await world.keys('content/')), ...(await world.keys('gc/'))])
    t.equal(await told(push(registry, session)), 'upload-unknown', 'nor when it was collected')
    t.strictSame(await world.keys('content/'), [], 'and leaves nothing')
    t.equal(await told(registry.blobs.get(APP, digestOf('blob'))), 'blob-unknown')
  })

  t.test('of which a part came', async t => {
    const world = createWorld()
    const { uploads } = world.process(SMALL)
    const session = await uploads.start(APP)
    const broken = new Error('the connection broke')
    async function* part() {
      yield Buffer.from('bl')
      throw broken
    }
    await t.rejects(uploads.finish(APP, session, digestOf('blob'), { source: part(), length: 4 }), broken)
    t.equal((await uploads.status(APP, session)).size, 2, 'that part counts')
    await uploads.finish(APP, session, digestOf('blob'), chunk('ob', { start: 2, end: 3 }))
  })

  t.test('that is asked for by another request while its bytes come', async t => {
    const world = createWorld()
    const { uploads } = world.process(SMALL)
    const session = await uploads.start(APP)
    const hanging = createBody()
    const slow = uploads.finish(APP, session, digestOf('blob'), { ...hanging, length: 4 })
    hanging.send('bl')
    for (let turns = 0; turns < 10; turns++) await later()
    const finished = uploads.finish(APP, session, digestOf('blob'), chunk('ob', { start: 2, end: 3 }))
    t.equal(await told(slow), 'upload-out-of-order', 'lets go of the session, and what had come counts')
    await finished
    t.equal(await textOf(world.process(), APP, digestOf('blob')), 'blob')
  })

  t.test('that is the end of what the session had', async t => {
    const world = createWorld()
    const session = await sessionOf(world.process(), APP, 'a small ')
    await world.process(SMALL).uploads.finish(APP, session, digestOf('a small blob'), chunk('blob'))
    t.equal(await textOf(world.process(), APP, digestOf('a small blob')), 'a small blob')
  })

  t.test('of another digest leaves no blob', async t => {
    const world = createWorld()
    const { uploads } = world.process(SMALL)
    const session = await uploads.start(APP)
    t.equal(await told(uploads.finish(APP, session, digestOf('other'), chunk('blob'))), 'digest-mismatch')
    t.equal(await told(uploads.single(APP, digestOf('other'), chunk('blob'))), 'digest-mismatch')
    t.equal(await told(push(world.process(SMALL), session)), 'upload-unknown', 'and the session has ended')
    t.strictSame([await world.keys('content/'), await world.uploads()], [[], []])
  })
})

/** A bucket says of a write that it found a key there when it found its own, whose first answer was lost. */
function loseAnswers({ storage }: World): void {
  const put = storage.put.bind(storage)
  storage.put = async (key, bytes, options) => {
    await put(key, bytes, options)
    return !key.startsWith(ENDED)
  }
}

t.test('a session that ended without the word of the store', async t => {
  const world = createWorld()
  loseAnswers(world)
  const registry = world.process(SMALL)
  await pushBlob(registry, APP, 'small')
  const large = 'x'.repeat(SMALL.smallBytes + 1)
  await pushBlob(registry, APP, large)
  for (const text of ['small', large]) t.equal(await textOf(registry, APP, digestOf(text)), text)
  await checkContents(world, 2)
  const session = await sessionOf(registry, APP, 'to be cancelled')
  await registry.uploads.cancel(APP, session)
  t.equal(await told(registry.uploads.cancel(APP, session)), 'upload-unknown')
  t.strictSame(await world.uploads(), [])
})

t.test('a cancellation that was cut short is made good by the next one', async t => {
  const world = createWorld()
  const registry = world.process()
  const session = await sessionOf(registry, APP, 'to be cancelled')
  world.broken.add('abort')
  await t.rejects(registry.uploads.cancel(APP, session), /broken/)
  world.broken.clear()
  t.equal(await told(registry.uploads.cancel(APP, session)), 'upload-unknown')
  t.strictSame(await world.uploads(), [])
})

t.test('the name of a session', async t => {
  const world = createWorld()
  const { uploads } = world.process()
  const session = await uploads.start(APP)
  const [id = '', stamp = '', algorithm = '', signature = ''] = session.split('.')
  const forged = {
    'no name': '',
    'another session': [crypto.randomUUID(), stamp, algorithm, signature].join('.'),
    'a later time': [id, `${stamp}0`, algorithm, signature].join('.'),
    'another algorithm': [id, stamp, 'sha512', signature].join('.'),
    'another signature': [id, stamp, algorithm, signature.replace(/^./, first => (first === 'A' ? 'B' : 'A'))].join(
      '.'
    ),
    'a part of it': [id, stamp, algorithm].join('.'),
    'the id alone': id,
    'more than it': `${session}.x`
  }
  for (const [what, name] of Object.entries(forged)) {
    t.equal(await told(uploads.status(APP, name)), 'upload-unknown', `${what} is not it`)
    t.equal(await told(uploads.append(APP, name, chunk('blob'))), 'upload-unknown', what)
    t.equal(await told(uploads.finish(APP, name, digestOf('blob'), chunk('blob'))), 'upload-unknown', what)
    t.equal(await told(uploads.cancel(APP, name)), 'upload-unknown', what)
  }
  t.equal(await told(uploads.status('other', session)), 'upload-unknown', 'is of one repository')
  t.strictSame(await world.uploads(), [], 'nothing was stored')
  t.equal(await told(createWorld().process().uploads.status(APP, session)), 'upload-unknown', 'and of one store')
  t.equal((await world.process().uploads.status(APP, session)).size, 0, 'but of every process')
})

t.test('a session expires when it is idle', async t => {
  const world = createWorld()
  const { uploads } = world.process()
  const begun = await sessionOf(world.process(), APP, 'one ')
  world.pass(EXPIRY)
  const used = await uploads.append(APP, begun, chunk('two'))
  world.pass(1)
  t.equal(await told(uploads.status(APP, begun)), 'upload-unknown', 'by its old name')
  t.equal(await told(uploads.finish(APP, begun, digestOf('one two'), chunk())), 'upload-unknown')
  t.equal((await uploads.status(APP, used.session)).size, 7, 'not by the name of its last use')
  await uploads.finish(APP, used.session, digestOf('one two'), chunk())
})

t.test('what idle sessions hold is freed, and endings are forgotten', async t => {
  const world = createWorld()
  const registry = world.process()
  const idle = await sessionOf(registry, APP, 'idle')
  const closed = await sessionOf(registry, APP, 'closed')
  await registry.uploads.finish(APP, closed, digestOf('closed'), chunk())
  const cancelled = await sessionOf(registry, APP, 'cancelled')
  await registry.uploads.cancel(APP, cancelled)
  world.pass(EXPIRY)
  await sessionOf(registry, APP, 'in use')
  t.equal(await registry.uploads.expire(), 0, 'not before its time')
  t.equal((await world.keys(ENDED)).length, 2)
  world.pass(1)
  t.equal(await registry.uploads.expire(), 1)
  t.equal((await world.uploads()).length, 1, 'the one in use is left')
  t.strictSame(await world.keys(ENDED), [])
  for (const session of [idle, closed, cancelled]) {
    t.equal(await told(registry.uploads.status(APP, session)), 'upload-unknown', 'no name came alive again')
  }
  t.equal(await textOf(registry, APP, digestOf('closed')), 'closed', 'blobs stay')
})
