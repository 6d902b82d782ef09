import t, { type Test } from 'tap'
import type { StorageDriver } from '../../src/storage/driver.ts'
import { createMemory } from '../../src/storage/memory.ts'
import { holds, refused, told } from '../support/answers.ts'
import { absent, random } from '../support/images.ts'
import { openRegistry, type Settings } from '../support/registry.ts'

const LARGE = 64 * 1024 + 1
const EXPIRY = 15 * 60_000

/** A registry over a store that can, or can't, make URLs; `asked` is what it was asked to make. */
async function open(t: Test, settings: Settings, url: (key: string) => string | undefined) {
  const asked: { key: string; expiresMs: number }[] = []
  const storage: StorageDriver = {
    ...createMemory(),
    url: async (key, { expiresMs }) => {
      asked.push({ key, expiresMs })
      return url(key)
    }
  }
  return { ...(await openRegistry(t, storage, settings)), asked }
}

const presigned = (key: string) => `https://bucket.example/${key}?X-Amz-Signature=a%2Fb&X-Amz-Expires=900`

t.test('with redirects on, a GET of a large blob leads to the store', async t => {
  const { pushBlob, get, head, asked } = await open(t, { redirectExpiryMs: EXPIRY }, presigned)
  const bytes = random(LARGE)
  const digest = await pushBlob('a', bytes)
  const url = `/v2/a/blobs/${digest}`
  t.strictSame(asked, [], 'no URL is made by a push')

  for (const headers of [{}, { range: 'bytes=5-9' }, { 'if-none-match': '"other"' }]) {
    const answer = await get(url, headers)
    const { location } = answer.headers
    told(t, answer, 307, { 'cache-control': 'no-store', 'docker-content-digest': digest }, JSON.stringify(headers))
    t.equal(answer.body.length, 0)
    t.match(asked.at(-1), { key: /^content\//, expiresMs: EXPIRY })
    t.equal(location, presigned(asked.at(-1)!.key), 'the URL just as the store made it')
  }

  const made = asked.length
  const parts = await get(url, { range: 'bytes=0-1,5-9' })
  told(t, parts, 206, { location: undefined }, '15.35: several ranges, which S3 would answer with the whole')
  t.match(parts.headers['content-type'], /^multipart\/byteranges/)
  told(t, await head(url), 200, { 'content-length': String(LARGE), location: undefined }, 'HEAD never')
  told(t, await get(url, { 'if-none-match': `"${digest}"` }), 304, { location: undefined }, 'what the client has')
  refused(t, await get(url, { range: `bytes=${LARGE}-` }), 416, 'SIZE_INVALID', 'a range that is not there')
  refused(t, await get(`/v2/a/blobs/${absent()}`), 404, 'BLOB_UNKNOWN', 'a blob that is not there')
  refused(t, await get(`/v2/b/blobs/${digest}`), 404, 'BLOB_UNKNOWN', 'a repository that does not hold it')

  const small = random(LARGE - 1)
  const smallDigest = await pushBlob('a', small)
  holds(t, await get(`/v2/a/blobs/${smallDigest}`), small, smallDigest, 'a small blob is sent')
  t.equal(asked.length, made, 'no URL was made for any of them')
})

t.test('blobs are sent where redirects are off, and where the store makes no URL', async t => {
  for (const [what, settings, url] of [
    ['off', {}, presigned],
    ['no URL', { redirectExpiryMs: EXPIRY }, () => undefined]
  ] as const) {
    const { pushBlob, get } = await open(t, settings, url)
    const bytes = random(LARGE)
    const digest = await pushBlob('a', bytes)
    const answer = await get(`/v2/a/blobs/${digest}`)
    holds(t, answer, bytes, digest, what)
    told(t, answer, 200, { 'cache-control': undefined }, what)
  }
})
