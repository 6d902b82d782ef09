import { refused, told } from '../support/answers.ts'
import { nextOf, parse } from '../support/client.ts'
import { random } from '../support/images.ts'
import { type Opened, onEachDriver } from '../support/registry.ts'

/** The two lists that are paged by `n` and `last`: their URL, where the entries stand, and how an entry comes in. */
const lists = {
  tags: {
    path: '/v2/team/app/tags/list',
    key: 'tags',
    fill: async ({ prepareImage, putManifest, must }: Opened, entries: readonly string[]) => {
      const image = await prepareImage('team/app')
      for (const tag of entries) await must(201, putManifest('team/app', tag, image))
    },
    entries: ['0.1.2', '0.1.20', '0.1.2-rc.1', '0.1.21', '0.1', 'A', 'a', 'b_c', 'B', '_', 'latest', 'a.b', 'a-b', 'Z9']
  },
  catalog: {
    path: '/v2/_catalog',
    key: 'repositories',
    fill: async ({ pushBlob }: Opened, entries: readonly string[]) => {
      for (const name of entries) await pushBlob(name, random(8))
    },
    entries: [
      'a',
      'a/b',
      'a-b',
      'a.b',
      'a_b',
      'a__b',
      'a0',
      'ab',
      'a/b/c',
      'blobs/uploads',
      'tags/list',
      'z',
      '0',
      'a/b-c'
    ]
  }
}

/** Follows the Links from a page to the end. */
async function follow({ must, get }: Opened, path: string, key: string): Promise<string[][]> {
  const pages: string[][] = []
  for (let next: string | undefined = path; next !== undefined && pages.length < 100; ) {
    const page = await must(200, get(next))
    pages.push(parse(page)[key] as string[])
    next = nextOf(page)
  }
  return pages
}

for (const [list, { path, key, fill, entries }] of Object.entries(lists)) {
  const ordered = [...entries].sort()

  onEachDriver(`${list}: pages by n, last and Link`, async (t, registry) => {
    const { get } = registry
    await fill(registry, entries)
    const whole = await get(path)
    told(t, whole, 200, { 'content-type': 'application/json', link: undefined }, 'the whole list')
    t.strictSame(parse(whole)[key], ordered, 'in byte order')

    for (const n of [1, 2, 3, ordered.length - 1, ordered.length, ordered.length + 1, 1000]) {
      const pages = await follow(registry, `${path}?n=${n}`, key)
      t.strictSame(pages.flat(), ordered, `n=${n}`)
      for (const page of pages.slice(0, -1)) t.equal(page.length, n, 'a page is full')
      t.equal(pages.length, Math.ceil(ordered.length / n), 'no page is empty')
    }
    const [first = '', second = '', third = ''] = ordered
    const link = (await get(`${path}?n=2`)).headers.link ?? ''
    t.equal(link, `<${path}?n=2&last=${encodeURIComponent(second)}>; rel="next"`, 'Link is relative')
    for (const [index, last] of ordered.entries()) {
      const rest = await get(`${path}?last=${encodeURIComponent(last)}`)
      t.strictSame(parse(rest)[key], ordered.slice(index + 1), `after ${last}, without n`)
      const page = await get(`${path}?n=3&last=${encodeURIComponent(last)}`)
      t.strictSame(parse(page)[key], ordered.slice(index + 1, index + 4), `three after ${last}`)
      t.equal(page.headers.link !== undefined, index + 4 < ordered.length, `Link after ${last}`)
    }
    const gone = list === 'tags' ? '0.1.2-a' : '0/a'
    t.strictSame(
      parse(await get(`${path}?last=${gone}`))[key],
      ordered.filter(entry => entry > gone),
      'last need not exist'
    )
    t.strictSame(parse(await get(`${path}?n=1&last=${first}`))[key], [second])
    t.strictSame(
      parse(await get(`${path}?last=&n=3&ns=docker.io`))[key],
      [first, second, third],
      'what is empty or not ours'
    )
  })

  onEachDriver(`${list}: odd counts`, async (t, registry) => {
    const { get } = registry
    await fill(registry, ['a', 'b', 'c'])
    for (const zero of ['0', '00', '0&last=a']) {
      const page = await get(`${path}?n=${zero}`)
      told(t, page, 200, { link: undefined }, `n=${zero}`)
      t.strictSame(parse(page)[key], [], `n=${zero}`)
    }
    const bad = [
      '-1',
      '-0',
      'x',
      '1.5',
      '1e1',
      '0x1',
      '+1',
      '%2B1',
      '%20',
      '%201',
      '',
      'NaN',
      'Infinity',
      'null',
      'true',
      '１',
      '1,2'
    ]
    for (const n of [...bad, '2&n=1', '1&n=1', '1&n=', '&n', '%00', '%ZZ', '%ff', '__proto__', '[object%20Object]']) {
      refused(t, await get(`${path}?n=${n}`), 400, 'UNSUPPORTED', `n=${n}`)
    }
    for (const n of ['3', '4', '1001', '1000000', '99999999999999999999', '9'.repeat(400), '003']) {
      const page = await get(`${path}?n=${n}`)
      told(t, page, 200, { link: undefined }, `n=${n}`)
      t.strictSame(parse(page)[key], ['a', 'b', 'c'], `n=${n}`)
    }
    for (const query of ['n[]=1', 'n[a]=1', '__proto__[n]=1', 'constructor=1&__proto__=2', 'N=1', '', '&&=&']) {
      t.strictSame(parse(await get(`${path}?${query}`))[key], ['a', 'b', 'c'], query)
    }
    const code = list === 'tags' ? 'MANIFEST_INVALID' : 'NAME_INVALID'
    for (const last of ['-bad', '..%2f..', '%00', 'a%0d%0aX:y', 'x'.repeat(300), 'a!', '%F0%9F%98%80']) {
      refused(t, await get(`${path}?last=${last}`), 400, code, `last=${last}`)
    }
    refused(t, await get(`${path}?last=a&last=b`), 400, 'UNSUPPORTED', 'last twice')
  })

  onEachDriver(
    `${list}: a page has no more entries than TAGS_PAGE_MAX`,
    async (t, registry) => {
      await fill(registry, ordered)
      for (const query of ['', '?n=4', '?n=5', '?n=1000']) {
        const pages = await follow(registry, path + query, key)
        t.strictSame(pages.flat(), ordered, query)
        for (const page of pages.slice(0, -1)) t.equal(page.length, 4, query)
      }
      const link = nextOf(await registry.get(`${path}?n=1000`))
      t.match(link, `${path}?n=4&last=`, 'the Link says what is given')
    },
    { tagsPageMax: 4 }
  )
}

onEachDriver('the tags of a repository that is not there, and of one without tags', async (t, registry) => {
  const { get, pushBlob, pushImage, del, tags } = registry
  refused(t, await get('/v2/a/tags/list'), 404, 'NAME_UNKNOWN', 'no repository')
  await pushBlob('a/b', random(5))
  refused(t, await get('/v2/a/tags/list'), 404, 'NAME_UNKNOWN', 'a repository below is another one')
  t.strictSame(parse(await get('/v2/a/b/tags/list')), { name: 'a/b', tags: [] }, 'a blob alone')
  t.strictSame(parse(await get('/v2/a%2Fb/tags/list?n=0')), { name: 'a/b', tags: [] }, 'the name is told unescaped')
  const image = await pushImage('a', 'only')
  await pushImage('a')
  t.strictSame(await tags('a'), ['only'], 'digests are no tags')
  await del('/v2/a/manifests/only')
  t.strictSame(await tags('a'), [], 'the last one deleted')
  t.strictSame(await tags('a', '?n=5&last=only'), [])
  await del(`/v2/a/manifests/${image.digest}`)
  t.strictSame(await tags('a'), [], 'there are blobs and another manifest')
})

onEachDriver('many tags at once', async (t, { prepareImage, putManifest, tags, pushImage, getManifest }) => {
  const image = await prepareImage('a')
  const names = Array.from({ length: 40 }, (_, index) => `v${index}`)
  const answers = await Promise.all(names.map(name => putManifest('a', name, image)))
  for (const answer of answers) t.equal(answer.status, 201)
  t.strictSame(await tags('a'), names.sort())
  const pushed = await Promise.all(Array.from({ length: 8 }, () => pushImage('a', 'same')))
  const { body } = await getManifest('a', 'same')
  t.ok(
    pushed.some(({ bytes }) => bytes.equals(body)),
    'of pushes to one tag one counts'
  )
  t.equal((await tags('a')).filter(tag => tag === 'same').length, 1)
})

onEachDriver('a repository is in the catalog while it holds a manifest or a blob', async (t, registry) => {
  const { get, pushBlob, pushImage, del, begin, referrers, send } = registry
  const catalog = async () => parse(await get('/v2/_catalog')).repositories
  t.strictSame(await catalog(), [], 'an empty list')
  await begin('a')
  t.strictSame(await catalog(), [], 'a session makes no repository')
  const blob = await pushBlob('a', random(9))
  t.strictSame(await catalog(), ['a'], 'a blob does')
  await send('POST', `/v2/b/blobs/uploads/?mount=${blob}&from=a`)
  t.strictSame(await catalog(), ['a', 'b'], 'a mounted one too')
  await del(`/v2/a/blobs/${blob}`)
  t.strictSame(await catalog(), ['b'], 'the last blob is gone')
  refused(t, await get('/v2/a/tags/list'), 404, 'NAME_UNKNOWN', 'and so is the repository')

  const { bytes, digest } = await pushImage('c', 'v1')
  const { config, layers } = JSON.parse(bytes.toString())
  for (const { digest } of [config, ...layers]) await del(`/v2/c/blobs/${digest}`)
  t.strictSame(await catalog(), ['b', 'c'], 'a manifest is enough')
  await del('/v2/c/manifests/v1')
  t.strictSame(await catalog(), ['b', 'c'], 'without a tag too')
  await del(`/v2/c/manifests/${digest}`)
  t.strictSame(await catalog(), ['b'], 'the last manifest is gone')
  t.strictSame(await referrers('c', digest), [])
  await pushImage('c', 'v1')
  t.strictSame(await catalog(), ['b', 'c'], 'pushed again')
})
