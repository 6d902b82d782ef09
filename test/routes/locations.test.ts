import type { OutgoingHttpHeaders } from 'node:http'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import marina from '../../src/index.ts'
import { createMemory } from '../../src/storage/memory.ts'
import { type Answer, createClient, nextOf, overInject, type Send } from '../support/client.ts'
import { absent, digestOf, IMAGE, random } from '../support/images.ts'
import { onEachDriver, type Settings } from '../support/registry.ts'

/** One of every answer that has a Location or a Link in it, and the path that it should lead to, from `/v2` on. */
async function everyLink(send: Send, headers: OutgoingHttpHeaders, at = '') {
  /** The path as this process has it: what a proxy in front puts before is taken off again. */
  const own = (location: string) => at + location.replace(/^.*(?=\/v2\/)/, '')
  const { pushImage, pushBlob, prepareImage } = createClient((method, path, more) => send(method, own(path), more))
  const bytes = random(20)
  const digest = digestOf(bytes)
  const blob = `/v2/a/b/blobs/${digest}`
  const upload = /^\/v2\/a\/b\/blobs\/uploads\/[\w.-]+$/
  const url = `${at}/v2/a/b/blobs/uploads/`
  const begin = () => send('POST', url, { headers })
  const session = own((await begin()).headers.location!)
  const image = await prepareImage('a/b')
  const other = await pushBlob('other', random(5))
  await pushImage('a/b', 'one')
  await pushImage('a/b', 'two')
  const octets = { ...headers, 'content-type': 'application/octet-stream' }
  const put = { headers: { ...headers, 'content-type': IMAGE }, body: image }
  const links: [what: string, answer: Answer, path: RegExp | string][] = [
    ['POST', await begin(), upload],
    ['a mount that falls back', await send('POST', `${url}?mount=${absent()}`, { headers }), upload],
    ['PATCH', await send('PATCH', session, { headers: octets, body: bytes }), upload],
    ['status', await send('GET', session, { headers }), upload],
    [
      'PATCH, 416',
      await send('PATCH', session, { headers: { ...octets, 'content-range': '99-99' }, body: random(1) }),
      upload
    ],
    [
      'PUT, 416',
      await send('PUT', `${session}?digest=${digest}`, {
        headers: { ...octets, 'content-range': '99-99' },
        body: random(1)
      }),
      upload
    ],
    ['closing PUT', await send('PUT', `${session}?digest=${digest}`, { headers }), blob],
    ['closing PUT again', await send('PUT', `${session}?digest=${digest}`, { headers }), blob],
    ['single POST', await send('POST', `${url}?digest=${digest}`, { headers: octets, body: bytes }), blob],
    ['mount', await send('POST', `${url}?mount=${other}&from=other`, { headers }), `/v2/a/b/blobs/${other}`],
    ['manifest by tag', await send('PUT', `${at}/v2/a/b/manifests/v1`, put), `/v2/a/b/manifests/${digestOf(image)}`],
    [
      'manifest by digest',
      await send('PUT', `${at}/v2/a/b/manifests/${digestOf(image)}`, put),
      `/v2/a/b/manifests/${digestOf(image)}`
    ]
  ]
  const pages: [what: string, answer: Answer, path: RegExp | string][] = [
    ['tags', await send('GET', `${at}/v2/a/b/tags/list?n=1`, { headers }), '/v2/a/b/tags/list?n=1&last=one'],
    ['catalog', await send('GET', `${at}/v2/_catalog?n=1`, { headers }), '/v2/_catalog?n=1&last=a%2Fb']
  ]
  return {
    links: links.map(([what, answer, path]) => ({ what, answer, path, to: answer.headers.location })),
    pages: pages.map(([what, answer, path]) => ({ what, answer, path, to: nextOf(answer) }))
  }
}

/** Checks where every link leads. @param before what stands before `/v2` in each */
async function leadsTo(t: Test, send: Send, before: string, headers: OutgoingHttpHeaders = {}, at = ''): Promise<void> {
  const { links, pages } = await everyLink(send, headers, at)
  for (const { what, to = '', path } of [...links, ...pages]) {
    t.equal(to.slice(0, before.length), before, `${what}: ${to}`)
    const rest = to.slice(before.length)
    if (typeof path === 'string') t.equal(rest, path, what)
    else t.match(rest, path, what)
  }
}

const PROXIED = { 'x-forwarded-for': '192.0.2.7', 'x-forwarded-proto': 'https', 'x-forwarded-host': 'other.example' }
const PREFIXED = { ...PROXIED, 'x-forwarded-prefix': '/team/registry' }

const cases: [what: string, settings: Settings, headers: OutgoingHttpHeaders, before: string][] = [
  ['relative, so right behind every proxy', {}, { host: 'registry.example:8443', ...PROXIED }, ''],
  ['with a prefix that nobody vouches for', {}, PREFIXED, ''],
  ['behind a proxy that is trusted', { trustProxy: true }, PROXIED, ''],
  ['behind a trusted proxy that takes a prefix off', { trustProxy: true }, PREFIXED, '/team/registry'],
  ['behind a proxy trusted by address', { trustProxy: ['127.0.0.0/8'] }, PREFIXED, '/team/registry'],
  ['behind a proxy of another address', { trustProxy: ['10.0.0.0/8'] }, PREFIXED, ''],
  [
    'a prefix that would lead to another host',
    { trustProxy: true },
    { ...PROXIED, 'x-forwarded-prefix': '//evil.example' },
    ''
  ],
  ['with EXTERNAL_URL', { externalUrl: 'https://registry.example:8443' }, {}, 'https://registry.example:8443'],
  ['with a path in EXTERNAL_URL', { externalUrl: 'https://h/path' }, PREFIXED, 'https://h/path'],
  ['with EXTERNAL_URL behind a trusted proxy', { externalUrl: 'https://h', trustProxy: true }, PREFIXED, 'https://h']
]
for (const [what, settings, headers, before] of cases) {
  onEachDriver(`every Location and Link: ${what}`, async (t, { send }) => leadsTo(t, send, before, headers), settings)
}

onEachDriver('every Location can be pulled', async (t, registry) => {
  const { links } = await everyLink(registry.send, {})
  for (const { what, answer, to = '' } of links) {
    if (answer.status !== 201) continue
    const pulled = await registry.get(to)
    t.equal(pulled.status, 200, `${what}: ${to}`)
    t.equal(pulled.headers['docker-content-digest'], answer.headers['docker-content-digest'], what)
    t.equal(digestOf(pulled.body), answer.headers['docker-content-digest'], what)
  }
})

t.test('every Location and Link under the prefix that an app gives the plugin', async t => {
  for (const [prefix, externalUrl, before] of [
    ['/packages/oci', undefined, '/packages/oci'],
    ['/packages/oci', 'https://h/outside', 'https://h/outside']
  ] as const) {
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(marina, { prefix, storage: createMemory(), ...(externalUrl && { externalUrl }) })
    await leadsTo(t, overInject(app), before, {}, prefix)
  }
})
