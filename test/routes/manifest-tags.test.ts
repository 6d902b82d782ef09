import { holds, refused, told } from '../support/answers.ts'
import { ALGORITHMS, absent, digestOf, IMAGE } from '../support/images.ts'
import { onEachDriver } from '../support/registry.ts'

onEachDriver('pushing by digest', async (t, registry) => {
  const { prepareImage, putManifest, getManifest, tags, send } = registry
  for (const algorithm of ALGORITHMS) {
    const bytes = await prepareImage('a')
    const digest = digestOf(bytes, algorithm)
    const wrong = absent(algorithm)
    refused(t, await putManifest('a', wrong, bytes), 400, 'DIGEST_INVALID', 'a wrong digest')
    refused(t, await getManifest('a', wrong), 404, 'MANIFEST_UNKNOWN', 'the wrong digest')
    refused(t, await getManifest('a', digest), 404, 'MANIFEST_UNKNOWN', 'the right digest, not pushed yet')
    told(
      t,
      await putManifest('a', digest, bytes),
      201,
      { 'docker-content-digest': digest, 'oci-tag': undefined },
      'PUT'
    )
    t.strictSame(await tags('a'), [], 'a digest is no tag')
    holds(t, await getManifest('a', digest), bytes, digest, 'by digest')

    const names = Array.from({ length: 12 }, (_, index) => `${algorithm}-${index}`)
    const query = names.map(name => `tag=${name}`).join('&')
    const tagged = await send('PUT', `/v2/a/manifests/${digest}?${query}`, {
      headers: { 'content-type': IMAGE },
      body: bytes
    })
    told(t, tagged, 201, { 'oci-tag': names.join(', '), location: `/v2/a/manifests/${digest}` }, 'with tags')
    for (const name of names) holds(t, await getManifest('a', name), bytes, digest, name)
    t.strictSame((await tags('a')).sort(), names.sort())
    for (const name of names) await registry.del(`/v2/a/manifests/${name}`)
  }
  const bytes = await prepareImage('a')
  const put = (reference: string, query: string) =>
    send('PUT', `/v2/a/manifests/${reference}?${query}`, { headers: { 'content-type': IMAGE }, body: bytes })
  told(t, await put(digestOf(bytes), 'tag=one'), 201, { 'oci-tag': 'one' }, 'with one tag')
  told(t, await put('two', 'tag=three'), 201, { 'oci-tag': 'three' }, 'by tag, with one more')
  t.strictSame(await tags('a'), ['one', 'three', 'two'])
  for (const tag of ['', '-bad', 'a/b', 'a%0d%0aX-Injected:%20yes', '%00', 'x'.repeat(129), '..']) {
    const answer = await put(digestOf(bytes), `tag=good&tag=${tag}`)
    refused(t, answer, 400, 'MANIFEST_INVALID', `?tag=${tag}`)
    t.equal(answer.headers['x-injected'], undefined)
  }
  refused(t, await getManifest('a', 'good'), 404, 'MANIFEST_UNKNOWN', 'beside a bad tag a good one is not made either')
})

onEachDriver('a tag that moves leaves the old manifest to its digest', async (t, registry) => {
  const { pushImage, putManifest, getManifest, del, tags } = registry
  const [first, second] = [await pushImage('a', 'v1'), await pushImage('a', 'v1')]
  holds(t, await getManifest('a', 'v1'), second.bytes, second.digest, 'the tag')
  holds(t, await getManifest('a', first.digest), first.bytes, first.digest, 'the old manifest')
  told(t, await putManifest('a', 'v1', first.bytes), 201, { 'docker-content-digest': first.digest }, 'and back')
  holds(t, await getManifest('a', 'v1'), first.bytes, first.digest, 'the tag')
  await del(`/v2/a/manifests/${second.digest}`)
  holds(t, await getManifest('a', 'v1'), first.bytes, first.digest, 'the tag, after the other manifest went')
  t.strictSame(await tags('a'), ['v1'])
  const again = await Promise.all(Array.from({ length: 8 }, () => putManifest('a', 'v1', first.bytes)))
  for (const answer of again) told(t, answer, 201, {}, 'the same push several times at once')
  const moves = await Promise.all([first, second, first, second].map(({ bytes }) => putManifest('a', 'v2', bytes)))
  for (const answer of moves) told(t, answer, 201, {}, 'moves at once')
  const { body } = await getManifest('a', 'v2')
  t.ok(
    [first, second].some(({ bytes }) => bytes.equals(body)),
    'one of them counts'
  )
})

onEachDriver('deleting', async (t, registry) => {
  const { pushImage, putManifest, getManifest, head, del, tags } = registry
  const gone = async (name: string, reference: string) => {
    refused(t, await getManifest(name, reference), 404, 'MANIFEST_UNKNOWN', `GET ${reference}`)
    refused(t, await head(`/v2/${name}/manifests/${reference}`), 404, 'MANIFEST_UNKNOWN', reference, 'HEAD')
    refused(t, await getManifest(name, reference, { 'if-none-match': '*' }), 404, 'MANIFEST_UNKNOWN', reference)
    refused(t, await del(`/v2/${name}/manifests/${reference}`), 404, 'MANIFEST_UNKNOWN', `DELETE ${reference}`)
  }
  const image = await pushImage('a', 'one')
  const other = await pushImage('a', 'other')
  for (const tag of ['two', 'three']) await putManifest('a', tag, image.bytes)
  told(t, await del('/v2/a/manifests/one'), 202, { 'content-length': '0' }, 'DELETE of a tag')
  await gone('a', 'one')
  for (const reference of ['two', image.digest]) {
    holds(t, await getManifest('a', reference), image.bytes, image.digest, reference)
  }
  t.strictSame(await tags('a'), ['other', 'three', 'two'])
  told(t, await del(`/v2/a/manifests/${image.digest}`), 202, {}, 'DELETE by digest')
  for (const reference of ['one', 'two', 'three', image.digest]) await gone('a', reference)
  t.strictSame(await tags('a'), ['other'])
  await gone('a/never', image.digest)
  await gone('a/never', 'v1')

  await putManifest('a', 'two', image.bytes)
  holds(t, await getManifest('a', image.digest), image.bytes, image.digest, 'pushed again')
  t.strictSame(await tags('a'), ['other', 'two'], 'with no tag of before')
  told(t, await del('/v2/a/manifests/two'), 202, {}, 'DELETE')
  told(t, await del('/v2/a/manifests/other'), 202, {}, 'DELETE')
  t.strictSame(await tags('a'), [], 'without tags the repository is still there')
  holds(t, await getManifest('a', other.digest), other.bytes, other.digest, 'and so are its manifests')
})

onEachDriver('a push and a deletion at once: what a push answered 201 last is there', async (t, registry) => {
  const { pushImage, putManifest, getManifest, del, send } = registry
  const image = await pushImage('a', 'v1')
  const url = `/v2/a/manifests/${image.digest}`
  for (let round = 0; round < 10; round++) {
    const [put] = await Promise.all([
      putManifest('a', 'v1', image.bytes),
      del(url),
      send('DELETE', '/v2/a/manifests/v1')
    ])
    told(t, put, 201, {}, 'PUT beside deletions')
    const got = await getManifest('a', image.digest)
    t.ok(got.status === 200 || got.status === 404, `${got.status} by digest`)
    const tagged = await getManifest('a', 'v1')
    t.ok(tagged.status === 404 || tagged.body.equals(image.bytes), 'the tag is gone or right')
    told(t, await putManifest('a', 'v1', image.bytes), 201, {}, 'PUT afterwards')
    holds(t, await getManifest('a', 'v1'), image.bytes, image.digest, 'what was pushed last')
  }
})
