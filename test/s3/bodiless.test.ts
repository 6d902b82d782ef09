import { randomBytes } from 'node:crypto'
import t from 'tap'
import { buildApp } from '../../src/app.ts'
import { defaults } from '../../src/config.ts'
import { openS3 } from '../../src/storage/s3.ts'
import { digestOf } from '../reliability/bytes.ts'
import { endpoint, scratchPrefix, settings } from '../support/s3.ts'
import { startProxy } from './proxy.ts'

const url = (digest: string): string => `/v2/some/where/blobs/${digest}`

for (const size of [100_000, 6_000_000]) {
  t.test(`a blob of ${size} bytes whose body does not come`, async t => {
    /** So many of the next answers with content break after their head. */
    let broken = 0
    const proxy = await startProxy(endpoint!, ({ method, url = '' }) => {
      if (method !== 'GET' || !url.includes('/content/') || broken === 0) return undefined
      broken--
      return 'bodiless'
    })
    const storage = await openS3(settings({ prefix: await scratchPrefix(t), endpoint: proxy.url }))
    const app = await buildApp({ ...defaults, logLevel: 'silent', openapiEnabled: false }, { storage })
    t.teardown(async () => {
      await app.close()
      proxy.close()
    })
    const bytes = randomBytes(size)
    const digest = digestOf(bytes)
    const headers = { 'content-type': 'application/octet-stream' }
    const posted = `/v2/some/where/blobs/uploads/?digest=${digest}`
    t.equal((await app.inject({ method: 'POST', url: posted, headers, payload: bytes })).statusCode, 201)

    broken = 3
    const late = await app.inject({ method: 'GET', url: url(digest) })
    t.equal(late.statusCode, 200, 'is asked for again')
    t.ok(late.rawPayload.equals(bytes))

    broken = Number.POSITIVE_INFINITY
    const refused = await app.inject({ method: 'GET', url: url(digest), headers: { range: 'bytes=1-' } })
    t.equal(refused.statusCode, 503)
    t.match(refused.headers, { 'retry-after': /^\d+$/, 'content-length': String(refused.rawPayload.length) })
    t.equal(refused.json().errors[0].code, 'UNAVAILABLE')
    for (const name of ['etag', 'content-range', 'accept-ranges', 'docker-content-digest']) {
      t.notOk(name in refused.headers, `${name} is of the content`)
    }
  })
}
