import assert from 'node:assert/strict'
import t from 'tap'
import { digestBytes } from '../../src/registry/digest.ts'
import { RegistryError } from '../../src/registry/errors.ts'
import { refused, told } from '../support/answers.ts'
import { INDEX, indexOf, json } from '../support/images.ts'
import { everyOrder } from '../support/interleave.ts'
import { onEachDriver } from '../support/registry.ts'
import { createWorld, GRACE } from '../support/world.ts'

onEachDriver(
  'an immutable tag names the manifest that it named first',
  async (t, registry) => {
    const { pushImage, putManifest, prepareImage, getManifest, del, tags, send } = registry
    const { bytes, digest } = await pushImage('team/app', 'v1.0')
    const other = await prepareImage('team/app')
    const [entry] = refused(t, await putManifest('team/app', 'v1.0', other), 409, 'DENIED', 'another manifest')
    t.strictSame(entry?.detail, { tag: 'v1.0' })
    told(t, await getManifest('team/app', digestBytes(other)), 404, {}, 'what was refused is not kept')
    const query = `/v2/team/app/manifests/${digestBytes(other)}?tag=new&tag=v1.0`
    const more = await send('PUT', query, {
      headers: { 'content-type': 'application/vnd.oci.image.manifest.v1+json' },
      body: other
    })
    refused(t, more, 409, 'DENIED', 'among more tags')
    t.strictSame(await tags('team/app'), ['v1.0'])
    told(t, await putManifest('team/app', 'v1.0', bytes), 201, {}, 'the same again')
    told(t, await getManifest('team/app', 'v1.0'), 200, { 'docker-content-digest': digest }, 'it stands')

    for (const tag of ['latest', 'w1.0']) await pushImage('team/app', tag)
    for (const tag of ['latest', 'w1.0'])
      told(t, await putManifest('team/app', tag, other), 201, {}, `${tag} may be moved`)
    await pushImage('stable/app', 'anything')
    await pushImage('other/app', 'anything')
    refused(
      t,
      await putManifest('stable/app', 'anything', await prepareImage('stable/app')),
      409,
      'DENIED',
      'by repository'
    )
    told(
      t,
      await putManifest('other/app', 'anything', await prepareImage('other/app')),
      201,
      {},
      'of another repository'
    )

    told(t, await del('/v2/team/app/manifests/v1.0'), 202, {}, 'it may be deleted')
    told(t, await putManifest('team/app', 'v1.0', other), 201, {}, 'and is new then')
  },
  { immutableTags: ['v*', 'stable/**:*'] }
)

t.test('15.17: of two pushes at the same moment exactly one wins, and is never overruled', async t => {
  const world = createWorld()
  const [one, two, observer] = [0, 1, 2].map(() => world.process({ immutableTags: ['v*'] }))
  const manifests = ['a', 'b'].map(id => json(indexOf([], { annotations: { id } })))
  let runs = 0
  const orders = await everyOrder(3, async () => {
    const name = `app${runs++}`
    await world.clear()
    const push = (registry: typeof one, bytes: Buffer) => async (): Promise<string> => {
      try {
        return (await registry!.manifests.put(name, { tag: 'v1' }, bytes, INDEX)).digest
      } catch (error) {
        if (error instanceof RegistryError && error.kind === 'tag-immutable') return ''
        throw error
      }
    }
    return {
      works: [push(one, manifests[0]!), push(two, manifests[1]!)],
      async check({ results }) {
        const pushed = results.flatMap(result => {
          if (result?.status !== 'fulfilled') throw result?.reason
          return result.value === '' ? [] : [result.value]
        })
        assert.equal(pushed.length, 1, 'one wins')
        const { digest } = await observer!.manifests.get(name, { tag: 'v1' }, () => true)
        assert.equal(digest, pushed[0], 'the tag names what was answered well')
        assert.deepEqual(await world.keys('claims/'), [])
      }
    }
  })
  t.ok(orders > 100, `${orders} orders`)
})

onEachDriver(
  '15.17: of twelve first pushes at once exactly one wins',
  async (t, registry) => {
    const peers = await Promise.all(Array.from({ length: 3 }, () => registry.peer()))
    for (const tag of ['v1', 'v2', 'v3']) {
      const manifests = Array.from({ length: 12 }, (_, id) =>
        json(indexOf([], { annotations: { id: String(id), tag } }))
      )
      const answers = await Promise.all(
        manifests.map((bytes, index) => peers[index % 3]!.putManifest('team/app', tag, bytes, INDEX))
      )
      const won = answers.findIndex(({ status }) => status === 201)
      for (const [index, answer] of answers.entries()) {
        if (index !== won) refused(t, answer, 409, 'DENIED', `${tag}, number ${index}`)
      }
      const headers = { 'docker-content-digest': digestBytes(manifests[won]!) }
      told(t, await registry.getManifest('team/app', tag), 200, headers, `${tag} names what won`)
    }
    const same = json(indexOf([], { annotations: { id: 'same' } }))
    const answers = await Promise.all(peers.map(({ putManifest }) => putManifest('team/app', 'v4', same, INDEX)))
    for (const answer of answers) told(t, answer, 201, {}, 'the same manifest at once')
  },
  { immutableTags: ['v*'] }
)

const isImmutable = new RegistryError('tag-immutable', { tag: 'v1' })

t.test('15.17: a push that died with its claim keeps others away for a minute', async t => {
  const world = createWorld()
  const [dying, other] = [0, 1].map(() => world.process({ immutableTags: ['v*'] }))
  const [one, two] = ['a', 'b'].map(id => json(indexOf([], { annotations: { id } })))
  world.broken.add('put repositories/app/_tags')
  world.broken.add('delete claims/')
  await t.rejects(dying!.manifests.put('app', { tag: 'v1' }, one!, INDEX))
  world.broken.clear()
  t.equal((await world.keys('claims/')).length, 1)
  await t.rejects(other!.manifests.put('app', { tag: 'v1' }, two!, INDEX), isImmutable)
  world.pass(60_000)
  await other!.manifests.put('app', { tag: 'v1' }, two!, INDEX)
  t.strictSame(await world.keys('claims/'), [])
  await t.rejects(dying!.manifests.put('app', { tag: 'v1' }, one!, INDEX), isImmutable)

  world.broken.add('delete claims/')
  await t.rejects(other!.manifests.put('app', { tag: 'v2' }, two!, INDEX))
  world.broken.clear()
  await other!.tags.forgetClaims(GRACE)
  t.equal((await world.keys('claims/')).length, 1, 'a young claim stays')
  world.pass(GRACE + 1)
  await other!.tags.forgetClaims(GRACE)
  t.strictSame(await world.keys('claims/'), [], 'an old one is collected')
})
