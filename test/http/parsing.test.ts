import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import { acceptPredicate } from '../../src/http/accept.ts'
import { parseAuthorization } from '../../src/http/authorization.ts'
import { notModified, rangeApplies } from '../../src/http/conditional.ts'
import { parseChunkRange } from '../../src/http/content-range.ts'
import { allowedMethods, type Endpoint, matchEndpoint, pathOf, segmentsIn } from '../../src/http/endpoints.ts'
import { createLinks } from '../../src/http/links.ts'
import { MOST_RANGES, parseRanges } from '../../src/http/range.ts'
import { RegistryError } from '../../src/registry/errors.ts'

const digest = `sha256:${'a'.repeat(64)}`
const word = fc.constantFrom(
  'a',
  'library',
  'blobs',
  'uploads',
  'manifests',
  'tags',
  'list',
  'referrers',
  'v2',
  'x-y.z'
)
const repository = fc.array(word, { minLength: 1, maxLength: 6 }).map(parts => parts.join('/'))
const text = fc.string({ unit: 'grapheme', minLength: 1 })

t.test('an endpoint is read from the right', async t => {
  const cases: [url: string, endpoint: Endpoint | undefined, params?: object][] = [
    ['/v2/a/blobs/uploads', 'uploads', { name: 'a' }],
    ['/v2/a/blobs/uploads/', 'uploads', { name: 'a' }],
    ['/v2/a/b/blobs/uploads/?mount=x/blobs/y', 'uploads', { name: 'a/b' }],
    ['/v2/a/blobs/uploads/s1', 'upload', { name: 'a', session: 's1' }],
    ['/v2/a/blobs/uploads/s1?digest=sha256:1', 'upload', { name: 'a', session: 's1' }],
    [`/v2/a/blobs/${digest}`, 'blob', { name: 'a', digest }],
    ['/v2/a/blobs/sha256%3Aab', 'blob', { name: 'a', digest: 'sha256:ab' }],
    ['/v2/a%2Fb/manifests/1', 'manifest', { name: 'a/b', reference: '1' }],
    ['/v2/a/manifests/%2E%2E%2Fx', 'manifest', { name: 'a', reference: '../x' }],
    ['/v2/a/blobs/uploads/manifests/x', 'manifest', { name: 'a/blobs/uploads', reference: 'x' }],
    ['/v2/blobs/uploads/tags/list?n=1', 'tags', { name: 'blobs/uploads' }],
    ['/v2/blobs/blobs/uploads/uploads', 'upload', { name: 'blobs', session: 'uploads' }],
    ['/v2/tags/list/tags/list#x', 'tags', { name: 'tags/list' }],
    [`/v2/referrers/referrers/${digest}`, 'referrers', { name: 'referrers', digest }],
    [`http://host/v2/a/blobs/${digest}?x=://`, 'blob', { name: 'a', digest }],
    ['/v2/../manifests/x', 'manifest', { name: '..', reference: 'x' }],
    ['/v2/blobs/uploads/', undefined],
    ['/v2/tags/list', undefined],
    ['/v2//tags/list', undefined],
    ['/v2/manifests/x', undefined],
    ['/v2/a/manifests/', undefined],
    ['/v2/a/blobs/', undefined],
    ['/v2/a/referrers/', undefined],
    ['/v2/a/tags/lists', undefined],
    ['/v2/a/tags/list/', undefined],
    ['/v2/a/uploads/s', undefined],
    ['/v2/a/blobs/uploads/s/', undefined],
    ['/v2/a%zz/manifests/x', undefined],
    ['/v2/a/manifests/%ff', undefined],
    ['/v2/', undefined],
    ['/', undefined],
    ['', undefined],
    ['*', undefined],
    ['http://host', undefined]
  ]
  for (const [url, endpoint, params] of cases) {
    t.strictSame(matchEndpoint(url, 1), endpoint && { endpoint, params }, url)
  }
})

t.test('what is written as an endpoint is read as the same', async () => {
  const endings: Record<Endpoint, (last: string) => [path: string, params: object]> = {
    blob: last => [`blobs/${last}`, { digest: last }],
    uploads: () => ['blobs/uploads/', {}],
    upload: last => [`blobs/uploads/${last}`, { session: last }],
    manifest: last => [`manifests/${last}`, { reference: last }],
    tags: () => ['tags/list', {}],
    referrers: last => [`referrers/${last}`, { digest: last }]
  }
  const endpoint = fc.constantFrom(...(Object.keys(allowedMethods) as Endpoint[]))
  const prefix = fc.array(word, { maxLength: 3 }).map(parts => parts.map(part => `/${part}`).join(''))
  const query = fc.constantFrom('', '?n=1', '?a/tags/list')
  fc.assert(
    fc.property(repository, endpoint, text, prefix, query, (name, endpoint, last, prefix, query) => {
      fc.pre(endpoint !== 'blob' || last !== 'uploads')
      const [escaped] = endings[endpoint](encodeURIComponent(last))
      const [, params] = endings[endpoint](last)
      const match = matchEndpoint(`${prefix}/${name}/${escaped}${query}`, segmentsIn(prefix))
      return isDeepStrictEqual(match, { endpoint, params: { name, ...params } })
    })
  )
  fc.assert(fc.property(fc.string(), fc.nat(4), (url, skip) => void matchEndpoint(url, skip)))
})

t.test('paths and prefixes', async t => {
  t.equal(pathOf('/v2/a?b#c'), '/v2/a')
  t.equal(pathOf('https://h:1/v2/?x'), '/v2/')
  for (const [prefix, count] of [
    ['', 0],
    ['/', 0],
    ['/v2', 1],
    ['/v2/', 1],
    ['/registry/v2', 2]
  ] as const) {
    t.equal(segmentsIn(prefix), count, prefix)
  }
})

t.test('15.35: Range, with one range and with several', async t => {
  const one = (start: number, end: number) => [{ start, end }]
  const cases: [header: string | undefined, size: number, result: object | string][] = [
    [undefined, 10, 'whole'],
    ['', 10, 'whole'],
    ['bytes=0-0', 10, one(0, 0)],
    ['BYTES=2-', 10, one(2, 9)],
    ['bytes= 1-3 ', 10, one(1, 3)],
    ['bytes=-3', 10, one(7, 9)],
    ['bytes=-30', 10, one(0, 9)],
    ['bytes=-0', 10, 'unsatisfiable'],
    ['bytes=9-99999999999999999999999', 10, one(9, 9)],
    ['bytes=10-', 10, 'unsatisfiable'],
    ['bytes=99999999999999999999-', 10, 'unsatisfiable'],
    ['bytes=-99999999999999999999', 10, one(0, 9)],
    ['bytes=-', 10, 'whole'],
    ['bytes=', 10, 'whole'],
    ['bytes=,', 10, 'whole'],
    ['bytes=a-b', 10, 'whole'],
    ['bytes=0-1,a-b', 10, 'whole'],
    ['bytes=0-1-2', 10, 'whole'],
    ['lines=0-1', 10, 'whole'],
    ['bytes 0-1', 10, 'whole'],
    ['0-5', 10, 'whole'],
    [undefined, 0, 'whole'],
    ['bytes=0-', 0, 'unsatisfiable'],
    ['bytes=-1', 0, 'unsatisfiable'],
    ['bytes=0-1,5-9', 10, [...one(0, 1), ...one(5, 9)]],
    ['bytes=5-9 ,\t0-1', 10, [...one(0, 1), ...one(5, 9)]],
    ['bytes=,0-1,,5-9,', 10, [...one(0, 1), ...one(5, 9)]],
    ['bytes=0-1,2-3', 10, [...one(0, 1), ...one(2, 3)]],
    ['bytes=0-2,2-3', 10, one(0, 3)],
    ['bytes=5-,0-9,-2', 10, one(0, 9)],
    ['bytes=0-0,99-', 10, one(0, 0)],
    ['bytes=10-,20-30,-0', 10, 'unsatisfiable']
  ]
  for (const [header, size, result] of cases) t.strictSame(parseRanges(header, size), result, `${header} of ${size}`)
  const many = (count: number) => `bytes=${Array.from({ length: count }, (_, index) => `${2 * index}-${2 * index}`)}`
  t.equal(parseRanges(many(MOST_RANGES), 100).length, MOST_RANGES)
  for (const count of [MOST_RANGES + 1, 10_000]) t.equal(parseRanges(many(count), 1e6), 'whole', `${count} ranges`)
})

t.test('15.38: a range that ends before it starts is refused, with a unit and without one', async t => {
  for (const header of ['500-0', ' 500-0', 'bytes=500-0', 'bytes=3-2', 'bytes=0-1,9-5', 'bytes=00500-0499']) {
    t.equal(parseRanges(header, 1000), 'unsatisfiable', header)
  }
  t.equal(parseRanges('bytes=9007199254740993-9007199254740992', 10), 'unsatisfiable')
  t.strictSame(parseRanges('bytes=5-000000000000000000007', 10), [{ start: 5, end: 7 }])
})

t.test('15.35: Range gives the bytes that a naive reading gives, each of them once and in order', async () => {
  const spec = fc.oneof(
    fc.tuple(fc.nat(40), fc.nat(40)).map(([first, more]) => ({ first, last: first + more })),
    fc.record({ first: fc.nat(40), last: fc.constant(undefined) }),
    fc.record({ first: fc.constant(undefined), last: fc.nat(40) })
  )
  fc.assert(
    fc.property(fc.array(spec, { minLength: 1, maxLength: MOST_RANGES }), fc.nat(30), (specs, size) => {
      const bytes = Array.from({ length: size }, (_, index) => index)
      const wanted = bytes.filter(index =>
        specs.some(({ first, last }) =>
          first === undefined ? index >= size - (last ?? 0) : index >= first && index <= (last ?? size)
        )
      )
      const ranges = parseRanges(`bytes=${specs.map(({ first = '', last = '' }) => `${first}-${last}`)}`, size)
      if (wanted.length === 0) return ranges === 'unsatisfiable'
      if (typeof ranges === 'string') return false
      const given = ranges.flatMap(({ start, end }) => bytes.slice(start, end + 1))
      return isDeepStrictEqual(given, wanted) && ranges.every(({ start, end }) => start <= end && end < size)
    })
  )
  const anything = fc.oneof(
    fc.string(),
    fc.stringMatching(/^[0-9, -]{0,40}$/).map(list => `bytes=${list}`)
  )
  fc.assert(
    fc.property(anything, fc.nat(), (header, size) => {
      const ranges = parseRanges(header, size)
      if (typeof ranges === 'string') return true
      return ranges.every(({ start, end }, index) => {
        const before = ranges[index - 1]
        return start <= end && end < size && (before === undefined || before.end < start)
      })
    })
  )
})

t.test('15.30: the longest headers are read in a number of steps that grows as their length', async t => {
  // In quadratic time each of these would take hours, and the file's time would run out.
  const long = (text: string): string => text.repeat(2 ** 20 / text.length)
  for (const unit of [
    '0',
    '1',
    '-',
    '0-',
    '0-1,',
    ',',
    ' ',
    '"',
    '"\\\\',
    '=',
    ';',
    'a/b,',
    'a/b;q=1,',
    'W/',
    '/',
    '.',
    'a'
  ]) {
    for (const [before, after] of [
      ['', ''],
      ['bytes=', ''],
      ['bytes=0-', ''],
      ['bytes=', '-0!'],
      ['bytes 0-', '/*!'],
      ['"', ''],
      ['W/"', '!'],
      ['Bearer ', '!'],
      ['Basic ', '!']
    ]) {
      const header = `${before}${long(unit)}${after}`
      parseRanges(header, 10)
      acceptPredicate(header)('a/b')
      notModified(header, '"x"')
      rangeApplies(header, '"x"')
      createLinks({ prefix: '/v2' }).blob('a', digest, header)
      for (const parse of [parseChunkRange, parseAuthorization]) {
        try {
          parse(header)
        } catch (error) {
          if (!(error instanceof RegistryError)) t.fail(String(error))
        }
      }
    }
  }
  t.strictSame(parseRanges(`bytes=${'0'.repeat(2 ** 20)}5-6`, 10), [{ start: 5, end: 6 }])
  t.equal(parseRanges(`bytes=${'0'.repeat(2 ** 20)}7-6`, 10), 'unsatisfiable')
})

t.test("a chunk's Content-Range", async t => {
  t.equal(parseChunkRange(undefined), undefined)
  for (const header of ['0-9', 'bytes 0-9/*', 'bytes 0-9/10', ' 0-9 ', '00-09']) {
    t.strictSame(parseChunkRange(header), { start: 0, end: 9 }, header)
  }
  const bad = [
    '',
    '9-0',
    'bytes 0-9',
    'bytes 0-9/9',
    'bytes=0-9',
    '0-',
    '-9',
    '0-9/10',
    '0-9007199254740993',
    'a-b',
    '0--1'
  ]
  for (const header of bad) {
    t.throws(() => parseChunkRange(header), { name: 'RegistryError', kind: 'upload-invalid' }, header)
  }
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[0-9/*-]{0,9}$/)), header => {
      try {
        const range = parseChunkRange(header)
        return range !== undefined && range.start <= range.end
      } catch (error) {
        return error instanceof RegistryError
      }
    })
  )
})

t.test('Accept', async t => {
  const oci = 'application/vnd.oci.image.index.v1+json'
  const docker = 'application/vnd.docker.distribution.manifest.v2+json'
  const cases: [header: string | string[] | undefined, accepted: string[], refused: string[]][] = [
    [undefined, [oci, docker], []],
    ['', [oci], []],
    [[], [oci], []],
    [oci, [oci, oci.toUpperCase(), `${oci}; charset=utf-8`], [docker]],
    [oci.toUpperCase(), [oci], [docker]],
    [[oci, docker], [oci, docker], ['application/json']],
    [`${oci}, ${docker};q=0.5`, [oci, docker], ['text/plain']],
    ['*/*', [oci], []],
    ['*;q=.2', [oci], []],
    ['application/*', [oci], ['text/plain']],
    [`*/*, ${oci};q=0`, [docker], [oci]],
    [`application/*;q=0, */*;q=0.1`, ['text/plain'], [oci]],
    [`application/*;q=0, ${oci}`, [oci], [docker]],
    [`${oci};q=0, ${oci};q=0.3`, [oci], [docker]],
    [`${oci}; Q = 0.000`, [], [oci]],
    [`${oci};charset="a,b;q=0";level=1`, [oci], ['b']],
    [`${oci};q=2, ${docker}`, [docker], [oci]],
    [`${oci};q=, ${docker}`, [docker], [oci]],
    [`nonsense, , ;;, ${docker}`, [docker], [oci]],
    ['nonsense', [oci], []],
    [`text/plain;a="unclosed, ${oci}`, ['text/plain'], [oci]]
  ]
  for (const [header, accepted, refused] of cases) {
    const accepts = acceptPredicate(header)
    for (const type of accepted) t.ok(accepts(type), `${header} takes ${type}`)
    for (const type of refused) t.notOk(accepts(type), `${header} does not take ${type}`)
  }
  const headerLike = fc.stringMatching(/^[a*/,;="\\q0.1 -]{0,40}$/)
  fc.assert(
    fc.property(
      fc.oneof(fc.string(), headerLike),
      fc.string(),
      (header, type) => typeof acceptPredicate(header)(type) === 'boolean'
    )
  )
})

t.test('If-None-Match and If-Range', async t => {
  const etag = `"${digest}"`
  for (const header of [etag, `W/${etag}`, '*', ' * ', `"x", ${etag}`, `"a,b",W/${etag}`, digest]) {
    t.ok(notModified(header, etag), header)
  }
  t.notOk(notModified(undefined, etag))
  for (const header of ['', '"x"', `"${digest}x"`, `"x,${digest}"`, 'W/"x"']) {
    t.notOk(notModified(header, etag), header)
  }
  t.ok(rangeApplies(undefined, etag))
  t.ok(rangeApplies(` ${etag} `, etag))
  for (const header of ['', '"x"', `W/${etag}`, 'Wed, 21 Oct 2026 07:28:00 GMT', '*']) {
    t.notOk(rangeApplies(header, etag), header)
  }
  t.notOk(rangeApplies('W/"x"', 'W/"x"'), 'a weak tag never matches')
  fc.assert(fc.property(fc.string(), header => typeof notModified(header, etag) === 'boolean'))
})

t.test('links', async t => {
  const relative = createLinks({ prefix: '/v2' })
  t.equal(relative.blob('a/b', digest), `/v2/a/b/blobs/${digest}`)
  t.equal(relative.manifest('a', '1.0'), '/v2/a/manifests/1.0')
  t.equal(relative.upload('a', 's_1'), '/v2/a/blobs/uploads/s_1')
  t.equal(relative.next('/_catalog', { n: 2, last: 'a/b&c' }), '</v2/_catalog?n=2&last=a%2Fb%26c>; rel="next"')
  t.equal(relative.blob('a', digest, '/team/reg/'), `/team/reg/v2/a/blobs/${digest}`)
  for (const bad of ['//evil.example', 'x', '/a//b', '/a b', '/a\r\nb', 'https://evil.example', '/', '']) {
    t.equal(relative.manifest('a', '1', bad), '/v2/a/manifests/1', `ignores the prefix ${JSON.stringify(bad)}`)
  }
  t.equal(createLinks({ prefix: '/registry/v2' }).manifest('a', '1'), '/registry/v2/a/manifests/1')
  for (const externalUrl of ['https://h/reg', 'https://h/reg/']) {
    const absolute = createLinks({ externalUrl, prefix: '/v2' })
    t.equal(absolute.manifest('a', '1', '/ignored'), 'https://h/reg/v2/a/manifests/1')
    t.equal(absolute.next('/a/tags/list', { n: 1 }), '<https://h/reg/v2/a/tags/list?n=1>; rel="next"')
  }
  fc.assert(
    fc.property(
      repository,
      fc.webSegment().filter(segment => segment !== ''),
      (name, session) => {
        const match = matchEndpoint(relative.upload(name, session), 1)
        return isDeepStrictEqual(match, { endpoint: 'upload', params: { name, session } })
      }
    )
  )
  fc.assert(
    fc.property(fc.string(), last => {
      const [, url = ''] = /^<([\x21-\x7e]+)>; rel="next"$/.exec(relative.next('/a/tags/list', { last })) ?? []
      return new URL(url, 'http://h').searchParams.get('last') === last
    })
  )
})
