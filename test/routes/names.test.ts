import { refused, told } from '../support/answers.ts'
import { parse } from '../support/client.ts'
import { endpoints } from '../support/endpoints.ts'
import { digestOf, IMAGE, random } from '../support/images.ts'
import { keysIn, onEachDriver, uploadsIn } from '../support/registry.ts'

/** Names outside the grammar, as they stand in a URL: some would lead out of the registry where they were a path. */
const badNames = [
  ...`A a..b a___b a. -a a- _a a_ a/_b a//b /a a/ a%20b a+b a:b a@b %C3%A9 a._b a%00b a%00 %00 a%0Ab a%0A
    a%0D%0AX-Injected:%20yes a%2F %2Fa a%2F%2Fb .. . ../.. a/../b ..%2f.. %2e%2e %2E%2E%2F%2E%2E a/%2e%2e/%2e%2e/b
    ..%2f..%2f..%2fetc%2fpasswd %252e%252e a%252Fb ..%5c.. ..\\.. a\\b %2fetc c: a? _catalog _blobs a/_manifests/b con%3A
    a;b a=b ~a a* __proto__ ａ a%F0%9F%98%80`.split(/\s+/),
  'x'.repeat(256),
  `${'a/'.repeat(127)}bc`
]

onEachDriver('a name that the grammar does not know is refused everywhere', async (t, registry) => {
  const { send } = await registry.wire()
  const before = await keysIn(registry.storage)
  for (const name of badNames) {
    // A question mark ends the path, and Node's client sends no characters beyond Latin 1.
    const inUrl = name.replace('?', '%3F').replace(/[^\0-\xff]/g, encodeURIComponent)
    for (const { endpoint, path, methods } of endpoints) {
      for (const method of methods) {
        const body = method === 'PUT' || method === 'PATCH' ? { body: Buffer.from('{}') } : {}
        const answer = await send(method, path(inUrl), { headers: { 'content-type': IMAGE }, ...body })
        refused(t, answer, 400, 'NAME_INVALID', `${method} ${endpoint} of ${name}`, method)
        if ('x-injected' in answer.headers) t.fail(`${method} ${endpoint} of ${name}: a header of the client's own`)
      }
    }
  }
  t.strictSame(await keysIn(registry.storage), before, 'nothing was written')
  t.strictSame(await uploadsIn(registry.storage), [], 'no upload was opened')
})

onEachDriver('every name of the grammar is one, whatever else it looks like', async (t, registry) => {
  const { pushImage, pushBlob, getManifest, tags, head, get, begin, patch, close, del, referrers } = registry
  const names = [
    ...`a 0 a.b a_b a__b a-b a---b a.b-c_d__e/0/9z a/b/c/d/e/f/g/h/i/j sha256-abc blobs manifests tags uploads referrers
      blobs/uploads tags/list x/blobs/uploads/y manifests/latest v2 v2/v2 x/tags/list/tags/list a/blobs/uploads/manifests
      referrers/sha256-0/blobs/uploads catalog content uploads/a tmp system gc constructor con nul/aux`.split(/\s+/),
    'x'.repeat(255),
    `${'a/'.repeat(127)}b`
  ]
  for (const name of names) {
    const image = await pushImage(name, 'list')
    const blob = JSON.parse(image.bytes.toString()).config.digest
    for (const written of [name, name.replaceAll('/', '%2F')]) {
      t.ok((await getManifest(written, 'list')).body.equals(image.bytes), `${written}: manifest`)
      t.strictSame(parse(await get(`/v2/${written}/tags/list`)), { name, tags: ['list'] }, written)
      t.equal((await head(`/v2/${written}/blobs/${blob.replace(':', '%3A')}`)).status, 200, `${written}: blob`)
      t.strictSame(await referrers(written, image.digest), [], written)
    }
    const bytes = random(4)
    const { headers } = await patch(await begin(name), bytes.subarray(0, 2))
    t.equal((await get(headers.location!)).status, 204, `${name}: status`)
    const closed = await close(headers.location!, digestOf(bytes), { body: bytes.subarray(2) })
    t.equal(closed.headers.location, `/v2/${name}/blobs/${digestOf(bytes)}`)
    t.equal((await del(closed.headers.location!)).status, 202, name)
    t.equal((await del(await begin(name))).status, 204, `${name}: cancel`)
  }
  t.strictSame(parse(await get('/v2/_catalog')).repositories, names.sort())
  await pushBlob('a/b', random(3))
  t.strictSame(await tags('a/b'), [])
})

onEachDriver('references that are none, at every method', async (t, registry) => {
  const { pushImage, storage } = registry
  const wire = await registry.wire()
  const image = await pushImage('a', 'v1')
  const before = await keysIn(storage)
  const bad = [
    ...`-bad .bad .. . %2e%2e ..%2f..%2fetc a%2Fb %00 a%00 a%0Ab v1! a%20b ..\\.. %C3%A9 %F0%9F%98%80
      v1%0D%0AX-Injected%20y`.split(/\s+/),
    'x'.repeat(129)
  ]
  for (const tag of bad) {
    const url = `/v2/a/manifests/${tag}`
    for (const method of ['GET', 'HEAD', 'DELETE']) {
      const answer = await wire.send(method, url)
      refused(t, answer, 404, 'MANIFEST_UNKNOWN', `${method} ${tag}`, method)
      t.equal(answer.headers['x-injected'], undefined)
    }
    refused(t, await wire.putManifest('a', tag, image.bytes), 400, 'MANIFEST_INVALID', `PUT ${tag}`)
  }
  const hex = 'a'.repeat(64)
  for (const digest of [
    'sha256:',
    'sha256:short',
    `sha256:${hex}0`,
    `sha256:${hex.toUpperCase()}`,
    `md5:${hex}`,
    `:${hex}`,
    `sha256:${hex.slice(4)}%2e%2e`,
    `sha256:..%2f..`,
    `sha256%3A%00`,
    `sha512:${hex}`,
    `sha256:${hex}:`
  ]) {
    for (const path of [`/v2/a/manifests/${digest}`, `/v2/a/blobs/${digest}`]) {
      for (const method of ['GET', 'HEAD', 'DELETE']) {
        refused(t, await wire.send(method, path), 400, 'DIGEST_INVALID', `${method} ${path}`, method)
      }
    }
    refused(t, await wire.putManifest('a', digest, image.bytes), 400, 'DIGEST_INVALID', `PUT ${digest}`)
    refused(t, await wire.get(`/v2/a/referrers/${digest}`), 400, 'DIGEST_INVALID', `referrers of ${digest}`)
  }
  for (const tag of [
    'v1',
    '_',
    'x'.repeat(128),
    '__proto__',
    'constructor',
    'latest-',
    'a..b',
    'list',
    'uploads',
    'sha256-abc'
  ]) {
    told(t, await wire.putManifest('a', tag, image.bytes), 201, {}, `a tag: ${tag}`)
    t.ok((await wire.getManifest('a', tag)).body.equals(image.bytes), tag)
    told(t, await wire.del(`/v2/a/manifests/${tag}`), 202, {}, tag)
  }
  await wire.putManifest('a', 'v1', image.bytes)
  t.equal((await keysIn(storage)).length, before.length, 'as many keys as before')
})
