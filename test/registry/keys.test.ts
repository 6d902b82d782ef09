import fc from 'fast-check'
import t from 'tap'
import { createObjectCache } from '../../src/registry/cache.ts'
import { parseDigest } from '../../src/registry/digest.ts'
import * as keys from '../../src/registry/keys.ts'

const hex = 'a'.repeat(64)
const digest = parseDigest(`sha256:${hex}`)
const subject = parseDigest(`sha512:${'0b'.repeat(64)}`)
const id = '0f6e2c0a-1111-4222-8333-944445555666'
const withoutNonce = (key: string): string => key.replace(/(?<![0-9a-f])[0-9a-f]{16}(?=\.|$)/, 'NONCE')

t.test('the keys that users have in their folders and buckets', async t => {
  t.equal(keys.contentKey(id), `content/0f/${id}`)
  t.equal(
    withoutNonce(keys.linkKey('team/app', digest, id, 12)),
    `repositories/team/app/_blobs/sha256/${hex}/NONCE.${id}.12`
  )
  t.equal(
    withoutNonce(keys.recordKey('a', digest, 1, 34)),
    `repositories/a/_manifests/sha256/${hex}/fffffffffffe.NONCE.34`
  )
  t.equal(
    keys.tagKey('a', 'v1.2', 1, '0123456789abcdef', digest),
    `repositories/a/_tags/v1.2!/fffffffffffe.0123456789abcdef.sha256-${hex}`
  )
  t.equal(keys.taggedKey('a', digest, 'v1.2', 'n'), `repositories/a/_tagged/sha256/${hex}/v1.2.n`)
  t.equal(
    withoutNonce(keys.referrerKey('a', subject, { digest, artifactType: 'a/b' }, 34)),
    `repositories/a/_referrers/sha512/${'0b'.repeat(64)}/c14cddc033f64b9dea80ea675cf280a0.sha256-${hex}.NONCE.34`
  )
  t.equal(keys.hintKey(digest), `digests/sha256/aa/${hex}`)
  t.equal(keys.catalogKey('a.b/c-d_e'), 'catalog/a(b)c!d_e')
  t.equal(keys.endedKey(id), `ended/0f/${id}`)
  t.match(keys.tagClaimKey('a', 'v1'), /^claims\/([0-9a-f]{2})\/\1[0-9a-f]{62}$/)
  t.not(keys.tagClaimKey('a', 'v1'), keys.tagClaimKey('a', 'V1'))
  t.equal(keys.orphanKey(id), `gc/orphans/0f/${id}`)
  t.equal(keys.systemKey('upload-key'), 'system/upload-key')
  t.equal(keys.tokenKeyKey(1), 'system/token-keys/00000001')
  t.equal(keys.robotKey('00ff'), 'system/robots/00ff')
  t.equal(keys.parseRobotKey('system/robots/00ff'), '00ff')
  t.equal(keys.robotUseKey('00ff', '2026-11-25'), 'system/uses/00ff.2026-11-25')
})

t.test('what a key says is read back', async t => {
  const link = keys.linkKey('a', digest, id, 34)
  t.strictSame(keys.parseLink(link), { key: link, content: id, size: 34 })
  const tag = keys.tagKey('a', 'x', 7, 'cafe', subject)
  t.strictSame(keys.parseTagKey(tag), { key: tag, seq: 7, nonce: 'cafe', digest: subject })
  t.equal(keys.parseRecordSeq(keys.recordKey('a', digest, 7, 34)), 7)
  t.equal(keys.parseRecordSize(keys.recordKey('a', digest, 7, 34)), 34)
  t.equal(keys.parseRecordSize(`${keys.recordsOf('a', digest)}fffffffffffe.cafe`), 0, 'of an early version')
  t.equal(keys.parseTagged(keys.taggedKey('a', digest, 'v1.2.3', 'cafe')), 'v1.2.3')
  for (const artifactType of [undefined, '', 'a/b.c']) {
    const referrer = keys.referrerKey('a', subject, { digest, artifactType }, 34)
    t.equal(keys.parseReferrer(referrer), digest)
    t.equal(keys.parseReferrerSize(referrer), 34)
    t.equal(keys.parseReferrerKeys(referrer), keys.referrerKeys('a', subject, { digest, artifactType }))
    t.ok(referrer.startsWith(keys.referrersOfType('a', subject, artifactType)))
    const after = keys.afterReferrer('a', subject, keys.referrerPlace(keys.parseReferrerKeys(referrer)))
    t.ok(referrer < after && after.startsWith(keys.parseReferrerKeys(referrer)))
  }
  const old = `${keys.referrersOf('a', subject)}sha256-${hex}.cafe`
  t.equal(keys.parseReferrer(old), digest, 'a referrer of version 0.1')
  t.equal(keys.parseReferrerKeys(old), old.slice(0, -'cafe'.length))
  t.ok(keys.isOurs('a', old))
  t.equal(keys.parseTagFolder(keys.tagFolder('a', 'v1-rc')), 'v1-rc')
  t.equal(keys.parseTokenKeyNumber(keys.tokenKeyKey(7)), 7)
  t.equal(keys.parseCatalogKey(keys.catalogKey('a.b/c-d_e')), 'a.b/c-d_e')
})

t.test('a name is as long as a file name may be', async t => {
  const tag = 'T'.repeat(128)
  const longest = [
    keys.tagKey('a', tag, 1, keys.nonce(), subject),
    keys.taggedKey('a', subject, tag, keys.nonce()),
    keys.referrerKey('a', subject, { digest: subject, artifactType: tag }, 4 * 2 ** 20),
    keys.catalogKey('n'.repeat(255)),
    keys.linkKey('a', subject, id, Number.MAX_SAFE_INTEGER)
  ]
  for (const key of longest) for (const part of key.split('/')) t.ok(part.length <= 255, `${part.length}`)
})

const bytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b))

t.test('listings come in the order of what they list', async t => {
  const tag = fc.stringMatching(/^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,6}$/)
  const name = fc.stringMatching(/^[a-z0-9]{1,2}([._/-][a-z0-9]{1,2}){0,3}$/)
  fc.assert(
    fc.property(
      tag,
      tag,
      (a, b) => Math.sign(bytes(keys.tagFolder('r', a), keys.tagFolder('r', b))) === Math.sign(bytes(a, b))
    )
  )
  fc.assert(
    fc.property(
      name,
      name,
      (a, b) => Math.sign(bytes(keys.catalogKey(a), keys.catalogKey(b))) === Math.sign(bytes(a, b))
    )
  )
  fc.assert(
    fc.property(fc.nat(), fc.nat(), (a, b) => {
      const [newer, older] = [a, b].map(seq => keys.tagKey('r', 't', seq, 'n', digest))
      const [newerRecord, olderRecord] = [a, b].map(seq => keys.recordKey('r', digest, seq, 1))
      return a <= b || (bytes(newer!, older!) < 0 && bytes(newerRecord!, olderRecord!) < 0)
    })
  )
  t.pass('for tags, repositories, the values of a tag and the records of a manifest')
})

t.test('the cache of small objects holds no more bytes than it may', async t => {
  const cache = createObjectCache<{ n: number }>(10_000)
  for (let n = 0; n < 100; n++) cache.set(`key-${n}`, { n }, 1000)
  const held = Array.from({ length: 100 }, (_, n) => cache.get(`key-${n}`)).filter(value => value !== undefined)
  t.strictSame(held.at(-1), { n: 99 })
  t.equal(held.length, 8, 'each takes its bytes, its key and 200 bytes')
  t.strictSame(cache.counts(), { hits: 8, misses: 92 })
})
