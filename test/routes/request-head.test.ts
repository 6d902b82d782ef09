import t from 'tap'
import { createMemory } from '../../src/storage/memory.ts'
import { openSocket } from '../plugins/edge.ts'
import { openRegistry } from '../support/registry.ts'

const POST = 'POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: h\r\n'

/** What Node's parser lets pass, or answers with no body. */
const refusedHeads: [what: string, sent: string, status: number][] = [
  ['no Host', 'GET /v2/ HTTP/1.1\r\n\r\n', 400],
  ['no Host, outside of the API', 'GET /openapi.json HTTP/1.1\r\n\r\n', 400],
  ['two Hosts', 'GET /v2/ HTTP/1.1\r\nHost: h\r\nhost: h\r\n\r\n', 400],
  ['a Host that is none', 'GET /v2/ HTTP/1.1\r\nHost: h/../x@y\r\n\r\n', 400],
  ['another version', 'GET /v2/ HTTP/2.0\r\nHost: h\r\n\r\n', 400],
  ['no version', 'GET /v2/\r\n\r\n', 400],
  ['an expectation', 'GET /v2/ HTTP/1.1\r\nHost: h\r\nExpect: a-cake\r\n\r\n', 417],
  ['a coding before chunked', `${POST}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`, 501],
  ['a transfer coding in HTTP/1.0', `${POST.replace('1.1', '1.0')}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 400]
]

t.test('heads that say too little, too much or two things are refused in JSON, and their connection ends', async t => {
  const { app } = await openRegistry(t, createMemory(), { openapiEnabled: true })
  for (const [what, sent, status] of refusedHeads) {
    const { socket, until } = await openSocket(app)
    socket.write(`${sent}GET /v2/ HTTP/1.1\r\nHost: h\r\n\r\n`)
    const answer = await until('never')
    t.match(
      answer,
      new RegExp(`^HTTP/1.1 ${status} .*\r\n\r\n\\{"errors":\\[\\{"code":"UNSUPPORTED"[^\r]*$`, 'is'),
      what
    )
    t.match(answer, /^connection: close\r$/im, what)
    t.match(answer, /^content-length: \d+\r$/im, what)
  }
})

t.test('heads that are unusual and right are served', async t => {
  const { app } = await openRegistry(t, createMemory(), { openapiEnabled: true })
  for (const sent of [
    'GET /v2/ HTTP/1.0\r\n\r\n',
    'GET /v2/ HTTP/1.1\r\nHost:\r\n\r\n',
    'GET /v2/ HTTP/1.1\r\nHOST: [::1]:5000\r\n\r\n',
    'GET http://elsewhere/v2/ HTTP/1.1\r\nHost: h\r\n\r\n',
    'GET /v2/ HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\n\r\n',
    `GET /v2/ HTTP/1.1\r\n${'a: b\r\n'.repeat(2000)}Host: h\r\n\r\n`
  ]) {
    const { socket, until } = await openSocket(app)
    socket.write(sent)
    t.match(await until('{}'), /HTTP\/1.1 200 /, sent.slice(0, 80))
    socket.destroy()
  }
})

t.test('the pages beside the API answer errors as the API does', async t => {
  const { get } = await openRegistry(t, createMemory(), { openapiEnabled: true })
  for (const path of ['/openapi/nothing', '/openapi/static/..%2f..%2fpackage.json', '/openapi/static/nothing.css']) {
    const answer = await get(path)
    t.equal(answer.status, 404, path)
    t.match(JSON.parse(answer.body.toString()), { errors: [{ code: 'UNSUPPORTED' }] }, path)
  }
})
