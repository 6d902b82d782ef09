import assert from 'node:assert/strict'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { type Digest, digestBytes } from '../../src/registry/digest.ts'
import { RegistryError } from '../../src/registry/errors.ts'
import { recordsOf, referrersOf } from '../../src/registry/keys.ts'
import type { Registry, RegistryOptions } from '../../src/registry/registry.ts'
import { DOCKER_LIST, INDEX, indexOf, json } from '../support/images.ts'
import { crash, everyOrder, type Run, type Scene, someOrder } from '../support/interleave.ts'
import { createWorld, GRACE, type World } from '../support/world.ts'

const APP = 'team/app'
const SUBJECT = digestBytes(Buffer.from('a subject that is not there'))
const any = (): boolean => true

/** An index of nothing relies on nothing: what is left is the manifest itself, its tags and its subject. */
const manifest = (id: string): Buffer =>
  json(
    indexOf([], { annotations: { id }, subject: { mediaType: INDEX, digest: SUBJECT, size: 1 }, artifactType: 'x/y' })
  )
const [A, B] = [manifest('a'), manifest('b')]
const digests = { A: digestBytes(A), B: digestBytes(B) }
const letters = new Map(Object.entries(digests).map(([letter, digest]) => [digest, letter]))

type Target = { digest: Digest } | { tag: string }

/** A process of the registry, and the repository that the requests are about. */
interface At {
  registry: Registry
  name: string
}

async function push({ registry, name }: At, bytes: Buffer, tag?: string): Promise<string> {
  await registry.manifests.put(name, tag === undefined ? { digest: digestBytes(bytes) } : { tag }, bytes, INDEX)
  return 'ok'
}
async function remove({ registry, name }: At, target: Target): Promise<string> {
  await registry.manifests.remove(name, target)
  return 'ok'
}
const pull = async ({ registry, name }: At, target: Target): Promise<string> =>
  letters.get((await registry.manifests.get(name, target, any)).digest)!

/** What a client is told, in a word. */
const told = (answer: Promise<string>): Promise<string> =>
  answer.catch(error => {
    if (error instanceof RegistryError) return error.kind
    throw error
  })

const requests = {
  'push A as T': (at: At) => told(push(at, A, 'T')),
  'push A': (at: At) => told(push(at, A)),
  'push B as T': (at: At) => told(push(at, B, 'T')),
  'delete A': (at: At) => told(remove(at, { digest: digests.A })),
  'delete T': (at: At) => told(remove(at, { tag: 'T' })),
  'pull T': (at: At) => told(pull(at, { tag: 'T' }))
}
type Request = keyof typeof requests
const everyRequest = Object.keys(requests) as Request[]

const beginnings: Record<string, (world: World, at: At) => Promise<unknown>> = {
  'an empty repository': async () => {},
  'an old A tagged T': async (world, at) => {
    await push(at, A, 'T')
    world.pass(GRACE / 2)
  },
  'A tagged T over B, which a crash left': async ({ broken }, at) => {
    await push(at, B, 'T')
    broken.add(`delete repositories/${at.name}/_tags`)
    await assert.rejects(push(at, A, 'T'))
    broken.clear()
  }
}

async function referrersIn({ registry, name }: At): Promise<string[]> {
  const { descriptors } = await registry.referrers.list(name, SUBJECT)
  return descriptors.map(bytes => letters.get((JSON.parse(bytes.toString()) as { digest: Digest }).digest)!).sort()
}

/** All that clients can see in the end. A referrer counts if it is there, as a tag does. */
async function seen(at: At): Promise<string> {
  const there: string[] = []
  for (const [letter, digest] of Object.entries(digests)) {
    if ((await told(pull(at, { digest }))) === letter) there.push(letter)
  }
  const listed = (await referrersIn(at)).filter(letter => there.includes(letter))
  assert.deepEqual(listed, there, 'every manifest that is there is listed under its subject, once')
  const { items } = await at.registry.repositories.list({ n: 10 })
  assert.deepEqual(items, (await at.registry.repositories.exists(at.name)) ? [at.name] : [], 'the catalog')
  const tag = await told(pull(at, { tag: 'T' }))
  if (tag === 'A' || tag === 'B') {
    await remove(at, { digest: digests[tag] })
    assert.equal(await told(pull(at, { tag: 'T' })), 'manifest-unknown', 'a tag goes with its manifest')
  }
  return `there: ${there}; T: ${tag}`
}

const permutations = (items: readonly number[]): number[][] =>
  items.length < 2
    ? [[...items]]
    : items.flatMap(first => permutations(items.filter(item => item !== first)).map(rest => [first, ...rest]))

/** Whether it may have been so: nothing came before what had been answered when it began. */
const possible = ({ spans }: Run<string>, order: number[]): boolean =>
  order.every((later, at) => order.slice(0, at).every(earlier => spans[later]!.ended > spans[earlier]!.begun))

/** Requests at the same time, each in a process of its own, which all know nothing yet of the repository. */
function createStage(options: Partial<RegistryOptions> = {}) {
  const world = createWorld()
  const processes = Array.from({ length: 3 }, () => world.process(options))
  const observer = world.process(options)
  let runs = 0

  async function begin(beginning: string): Promise<string> {
    const name = `team/app${runs++}`
    await world.clear()
    await beginnings[beginning]!(world, { registry: observer, name })
    return name
  }
  const ask = (asked: readonly Request[], name: string) =>
    asked.map(
      (request, index) => async () => `${request}: ${await requests[request]({ registry: processes[index]!, name })}`
    )

  const outcome = async (answers: string[], name: string): Promise<string> =>
    `${answers.toSorted().join(', ')}; ${await seen({ registry: observer, name })}`

  /** What comes of the requests one after the other. */
  async function inTurn(beginning: string, asked: readonly Request[], order: number[]): Promise<string> {
    const name = await begin(beginning)
    const work = ask(asked, name)
    const answers: string[] = []
    for (const index of order) answers.push(await work[index]!())
    return outcome(answers, name)
  }

  /**
   * The requests must end as if they had come one after the other, in some order that they may have come in. Of two that
   * delete the same thing both may say that they did.
   */
  async function together(beginning: string, asked: readonly Request[]): Promise<() => Promise<Scene<string>>> {
    const allowed: { order: number[]; end: RegExp }[] = []
    for (const order of permutations(asked.map((_, index) => index))) {
      const end = await inTurn(beginning, asked, order)
      allowed.push({ order, end: new RegExp(`^${end.replace(/(delete \w): manifest-unknown/g, '$1: [\\w-]+')}$`) })
    }
    return async () => {
      const name = await begin(beginning)
      return {
        works: ask(asked, name),
        async check(run) {
          const answers = run.results.map(result => {
            if (result?.status !== 'fulfilled') throw result?.reason
            return result.value
          })
          const end = await outcome(answers, name)
          const ends = allowed.filter(({ order }) => possible(run, order)).map(({ end }) => end)
          assert.ok(
            ends.some(wanted => wanted.test(end)),
            `${beginning}: ${end}\nis none of\n${ends.join('\n')}`
          )
        }
      }
    }
  }

  return { together }
}

t.test('two requests at the same time end as if one came after the other', async t => {
  for (const beginning of Object.keys(beginnings)) {
    const { together } = createStage()
    let orders = 0
    for (const [at, first] of everyRequest.entries()) {
      for (const second of everyRequest.slice(at)) {
        // A push and a deletion have the most ways to meet.
        const interruptions = first === 'push A as T' && second.startsWith('delete') ? 2 : 1
        orders += await everyOrder(interruptions, await together(beginning, [first, second]))
      }
    }
    t.ok(orders > 200, `${beginning}: ${orders} orders`)
  }
})

t.test('a push that goes on after a deletion was answered leaves the manifest there', async t => {
  const world = createWorld()
  const [pusher, deleter, observer] = [world.process(), world.process(), world.process()]
  for (const beginning of ['an old A tagged T', 'A tagged T over B, which a crash left']) {
    let runs = 0
    const orders = await everyOrder(1, async () => {
      const name = `team/${beginning.slice(0, 1).toLowerCase()}${runs++}`
      await world.clear()
      await beginnings[beginning]!(world, { registry: observer, name })
      return {
        works: [
          () => push({ registry: pusher, name }, A, 'T'),
          () => told(remove({ registry: deleter, name }, { digest: digests.A }))
        ],
        async check({ spans, order }: Run<string>) {
          // Before its last call, for the catalog, a push looks whether the manifest is still there.
          const last = order.findIndex(call => call.startsWith('0: put catalog'))
          const looked = order.findLastIndex((call, index) => call.startsWith('0') && index < last)
          if (looked < spans[1]!.ended) return
          assert.match(await seen({ registry: observer, name }), /^there: A.*; T: A$/)
        }
      }
    })
    t.ok(orders > 20, `${beginning}: ${orders} orders`)
  }
})

t.test('so do three, in any order', async t => {
  const { together } = createStage()
  const three = fc.array(fc.constantFrom(...everyRequest), { minLength: 3, maxLength: 3 })
  const picks = fc.array(fc.nat({ max: 5 }), { minLength: 4, maxLength: 40 })
  const beginning = fc.constantFrom(...Object.keys(beginnings))
  await fc.assert(
    fc.asyncProperty(beginning, three, picks, async (beginning, asked, picks) => {
      await someOrder(picks, await (await together(beginning, asked))())
    }),
    { numRuns: 100 }
  )
  t.pass('as if they had come one after the other')
})

t.test('15.3: of two types that are pushed at once one stays, and no later push changes it', async t => {
  const world = createWorld()
  const bytes = json({ schemaVersion: 2, manifests: [] })
  const digest = digestBytes(bytes)
  const [one, two, late, observer] = Array.from({ length: 4 }, () => world.process())
  let runs = 0
  await everyOrder(2, async () => {
    const name = `app${runs++}`
    await world.clear()
    return {
      works: [
        async () => void (await one!.manifests.put(name, { tag: 'T' }, bytes, INDEX)),
        async () => void (await two!.manifests.put(name, { tag: 'T' }, bytes, DOCKER_LIST))
      ],
      async check({ results }) {
        for (const result of results) if (result?.status !== 'fulfilled') throw result?.reason
        const { mediaType } = await observer!.manifests.get(name, { digest }, any)
        for (const type of [INDEX, DOCKER_LIST]) {
          await late!.manifests.put(name, { tag: 'T' }, bytes, type)
          assert.equal((await observer!.manifests.get(name, { digest }, any)).mediaType, mediaType)
        }
      }
    }
  })
  t.ok(runs > 10)
})

t.test('two tags moved at once on a folder that ignores case', async t => {
  const { together } = createStage({ ignoresCase: true })
  for (const other of ['pull T', 'push A as T', 'delete A'] as const) {
    const orders = await everyOrder(1, await together('an old A tagged T', ['push B as T', other]))
    t.ok(orders > 10, `${other}: ${orders} orders`)
  }
})

/** One who reads while others write: what it is told must be in `answers`, whatever the order. */
async function reading(
  t: Test,
  beginning: string,
  read: (at: At) => Promise<string>,
  writes: ((at: At) => Promise<unknown>)[],
  answers: string[]
): Promise<void> {
  const world = createWorld()
  const [reader, ...writers] = [world.process(), ...writes.map(() => world.process())]
  let runs = 0
  const orders = await everyOrder(writes.length > 1 ? 1 : 2, async () => {
    const name = `team/app${runs++}`
    await world.clear()
    await beginnings[beginning]!(world, { registry: writers[0]!, name })
    return {
      works: [
        () => read({ registry: reader, name }),
        ...writes.map((write, index) => async () => {
          await write({ registry: writers[index]!, name })
          return undefined
        })
      ],
      async check({ results }: Run<string | undefined>) {
        for (const result of results) if (result?.status === 'rejected') throw result.reason
        const [answer] = results
        assert.ok(answer?.status === 'fulfilled' && answers.includes(String(answer.value)), JSON.stringify(answer))
      }
    }
  })
  t.ok(orders > 20, `${orders} orders`)
}

t.test('a tag that moves is always there, though the manifest it moved from goes', async t => {
  const leaveA = async (at: At): Promise<void> => {
    await push(at, B, 'T')
    await remove(at, { digest: digests.A })
  }
  const pullT = (at: At) => told(pull(at, { tag: 'T' }))
  await reading(t, 'an old A tagged T', pullT, [leaveA], ['A', 'B'])
  // There and back: what the reader finds the second time is the same manifest, and not the same tag.
  const andBack = async (at: At): Promise<void> => {
    await leaveA(at)
    await push(at, A, 'T')
  }
  await reading(t, 'an old A tagged T', pullT, [andBack], ['A', 'B'])
})

t.test('a referrer that is pushed again is always listed', async t => {
  const list = async (at: At): Promise<string> => (await referrersIn(at)).join()
  await reading(t, 'an old A tagged T', list, [at => push(at, A)], ['A'])
  await reading(t, 'an old A tagged T', list, [at => push(at, A), at => push(at, A)], ['A'])
  await reading(t, 'an old A tagged T', list, [at => push(at, B), at => push(at, A)], ['A', 'A,B'])
})

t.test('a new referrer costs the same whatever else refers to its subject', async t => {
  const world = createWorld()
  const listings = () => world.calls.filter(call => call.startsWith(`list ${referrersOf(APP, SUBJECT)}`)).length
  const first = { registry: world.process(), name: APP }
  await push(first, A)
  await push(first, B)
  t.equal(listings(), 0, 'the others are not listed')
  await push(first, A)
  t.equal(listings(), 1, 'but where it was pushed before')
  await push({ registry: world.process(), name: APP }, B)
  const { descriptors } = await first.registry.referrers.list(APP, SUBJECT)
  t.equal(descriptors.length, 2, 'one that another process knew of is listed once')
})

t.test('referrers that are pushed at the same time are all listed', async t => {
  const world = createWorld()
  const at: At = { registry: world.process(), name: APP }
  const pushed = Array.from({ length: 40 }, (_, index) => manifest(`referrer ${index}`))
  await Promise.all(pushed.map(bytes => push({ ...at, registry: world.process() }, bytes)))
  const { descriptors } = await at.registry.referrers.list(at.name, SUBJECT)
  const listed = descriptors.map(bytes => (JSON.parse(bytes.toString()) as { digest: Digest }).digest)
  t.strictSame(listed.sort(), pushed.map(bytes => digestBytes(bytes)).sort())
})

t.test('a push that was cut short anywhere is made good by the next one', async t => {
  for (const beginning of Object.keys(beginnings)) {
    for (let calls = 0, ended = false; !ended; calls++) {
      const world = createWorld()
      const at = (): At => ({ registry: world.process(), name: APP })
      await beginnings[beginning]!(world, at())
      ended = (await crash(calls, () => push(at(), A, 'T'))).ended
      await push(at(), A, 'T')
      t.match(await seen(at()), /^there: A.*; T: A$/, `${beginning}, after ${calls} calls`)
    }
  }
})

t.test('a deletion that was cut short anywhere is made good by the next one, or by a push', async t => {
  for (const next of ['delete A', 'push A as T'] as const) {
    for (let calls = 0, ended = false; !ended; calls++) {
      const world = createWorld()
      const at = (): At => ({ registry: world.process(), name: APP })
      await beginnings['an old A tagged T']!(world, at())
      ended = (await crash(calls, () => remove(at(), { digest: digests.A }))).ended
      await requests[next](at())
      const there = next === 'delete A' ? '' : 'A'
      t.equal(await told(pull(at(), { tag: 'T' })), there || 'manifest-unknown', `${next} after ${calls} calls`)
      t.equal(await told(pull(at(), { digest: digests.A })), there || 'manifest-unknown')
      t.equal((await referrersIn(at())).join(), there)
    }
  }
})

t.test('a record that the store has damaged', async t => {
  const world = createWorld()
  const { manifests } = world.process({ cacheBytes: 0 })
  const bytes = A
  const digest = digests.A
  const child = { mediaType: INDEX, digest, size: bytes.length }
  const push = () => manifests.put('app', { tag: 'v1' }, bytes, INDEX)
  const got = async () => (await manifests.get('app', { digest }, any)).bytes
  const answer = () => told(got().then(String))
  for (const damaged of ['', '{"mediaType":"x"}\n{}', `{}\n${bytes}`, `null\n${bytes}`]) {
    await push()
    const [record = ''] = await world.keys(recordsOf('app', digest))
    await world.storage.put(record, Buffer.from(damaged))
    t.equal(await answer(), 'internal', 'is not taken for an absent one')
    await push()
    t.ok(bytes.equals(await got()), 'a push repairs it')
    t.equal((await world.keys(recordsOf('app', digest))).length, 2)

    const [newer = ''] = await world.keys(recordsOf('app', digest))
    await world.storage.put(record, await world.storage.get(newer).then(stored => stored!.bytes))
    await world.storage.put(newer, Buffer.from(damaged))
    t.ok(bytes.equals(await got()), 'an older one stands in for it')
    await manifests.put('app', { tag: 'all' }, json(indexOf([child])), INDEX)
    const [first = ''] = await world.keys(recordsOf('app', digest))
    t.ok((await world.storage.get(first))!.bytes.includes(bytes), 'and is written anew, on top, where it is relied on')
    for (const key of await world.keys(recordsOf('app', digest))) await world.storage.put(key, Buffer.from(damaged))
    await manifests.remove('app', { digest })
    t.equal(await answer(), 'manifest-unknown', 'it can be deleted')
  }
})
