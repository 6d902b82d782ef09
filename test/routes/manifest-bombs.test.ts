import type { Test } from 'tap'
import { refused, told } from '../support/answers.ts'
import { absent, descriptor, digestOf, IMAGE, INDEX, imageOf, indexOf, json, random } from '../support/images.ts'
import { type Opened, onEachDriver } from '../support/registry.ts'

const around = (inside: string): Buffer => Buffer.from(`{"schemaVersion":2,"manifests":[],"x":${inside}}`)

onEachDriver('a manifest that only its parser could be harmed by is refused', async (t, { send }) => {
  const put = (body: Buffer, type = INDEX) =>
    send('PUT', '/v2/a/manifests/v1', { headers: { 'content-type': type }, body })
  const bombs: [what: string, body: Buffer][] = [
    ['arrays in arrays', around('['.repeat(100) + ']'.repeat(100))],
    ['arrays that never end', around('['.repeat(1_000_000))],
    ['objects in objects', around('{"a":'.repeat(100_000))],
    ['elements', around(`[${'1,'.repeat(100_000)}1]`)],
    ['members', around(`{${'"a":1,'.repeat(100_000)}"a":1}`)],
    ['empty objects', around(`[${'{},'.repeat(60_000)}{}]`)]
  ]
  for (const [what, body] of bombs) {
    const [error] = refused(t, await put(body), 400, 'MANIFEST_INVALID', what)
    t.match(error?.message, /nested deeper|more than 100000 values/, what)
  }
  const fine: [what: string, body: Buffer][] = [
    ['99 levels', around('['.repeat(99) + ']'.repeat(99))],
    ['99,000 values', around(`[${'1,'.repeat(99_000)}1]`)],
    ['brackets and commas in strings', around(`["${'[{,'.repeat(100_000)}","\\"${'['.repeat(200)}\\\\"]`)]
  ]
  for (const [what, body] of fine) told(t, await put(body), 201, { 'docker-content-digest': digestOf(body) }, what)
})

onEachDriver('a media type is short enough for a header', async (t, { send, get }) => {
  const typed = (length: number) => `application/${'x'.repeat(length - 17)}+json`
  for (const length of [255, 256, 100_000]) {
    const mediaType = typed(length)
    const answer = await send('PUT', '/v2/a/manifests/v1', { body: json({ schemaVersion: 2, mediaType }) })
    if (length > 255) refused(t, answer, 400, 'MANIFEST_INVALID', `${length} characters`)
    else told(t, await get('/v2/a/manifests/v1'), 200, { 'content-type': mediaType }, `${length} characters`)
  }
})

onEachDriver('of many missing blobs some are told', async (t, { send, pushBlob }) => {
  const config = random(10)
  await pushBlob('a', config)
  const layers = Array.from({ length: 300 }, () => ({ ...descriptor(random(1), 'a/b'), digest: absent() }))
  const body = json({ ...imageOf(config, []), layers })
  const answer = await send('PUT', '/v2/a/manifests/v1', { headers: { 'content-type': IMAGE }, body })
  t.equal(refused(t, answer, 400, 'MANIFEST_BLOB_UNKNOWN', '300 layers').length, 100)
})

async function whileLooking(t: Test, registry: Opened): Promise<void> {
  const { send, get } = await registry.wire()
  // Each entry is a request of S3 that says that it is missing.
  const length = registry.storage.name === 's3' ? 500 : 15_000
  const entries = Array.from({ length }, () => ({ ...descriptor(random(1), IMAGE), digest: absent() }))
  const body = json(indexOf(entries))
  let pushing = true
  const pushed = send('PUT', '/v2/a/manifests/v1', { headers: { 'content-type': INDEX }, body }).finally(() => {
    pushing = false
  })
  let served = 0
  for (; pushing; served++) await get('/v2/')
  told(t, await pushed, 201, {}, `${length} entries that are not here`)
  t.ok(served > 10, `${served} other requests meanwhile`)
}
onEachDriver('others are served while a long manifest is looked through', whileLooking, {
  manifestReferencesMax: 20_000
})
