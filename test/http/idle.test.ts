import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { buildApp } from '../../src/app.ts'
import { defaults } from '../../src/config.ts'
import type { StorageDriver } from '../../src/storage/driver.ts'
import { createMemory } from '../../src/storage/memory.ts'
import { createClient, overInject } from '../support/client.ts'
import { digestOf } from '../support/images.ts'

const IDLE_MS = 300

/** An app that lets clients be idle for a short time, and raw connections to it. */
async function listening(t: Test, storage: StorageDriver = createMemory()) {
  const config = { ...defaults, logLevel: 'silent' as const, openapiEnabled: false, idleTimeoutMs: IDLE_MS }
  const app = await buildApp(config, { storage })
  t.teardown(() => app.close())
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  const open = async (): Promise<Socket> => {
    const socket = connect({ port, host: '127.0.0.1' })
    socket.on('error', () => undefined)
    t.teardown(() => socket.destroy())
    await once(socket, 'connect')
    return socket
  }
  return { open, client: createClient(overInject(app)) }
}

const patch = (location: string, length: number): string =>
  `PATCH ${location} HTTP/1.1\r\nHost: h\r\nContent-Type: application/octet-stream\r\nContent-Length: ${length}\r\n\r\n`

/** All that comes until the other side ends the connection. */
async function untilEnd(socket: Socket): Promise<string> {
  let text = ''
  socket.on('data', chunk => {
    text += chunk
  })
  await once(socket, 'close')
  return text
}

t.test('a body that falls silent is answered with 408, and what came of it is kept', async t => {
  const { open, client } = await listening(t)
  const location = await client.begin('a')
  const socket = await open()
  socket.write(`${patch(location, 1000)}0123456789`)
  const text = await untilEnd(socket)
  t.match(text, /^HTTP\/1.1 408 .*no byte of the body came for 0.3 s/s)
  t.match(text.toLowerCase(), 'connection: close')
  t.match(await client.get(location), { status: 204, headers: { range: '0-9' } })
  const bytes = Buffer.from('0123456789')
  t.match(await client.close(location, digestOf(bytes)), { status: 201 })
})

t.test('a client that was told to go on and sends nothing is answered as well', async t => {
  const { open, client } = await listening(t)
  const socket = await open()
  socket.write(patch(await client.begin('a'), 1000).replace('\r\n\r\n', '\r\nExpect: 100-continue\r\n\r\n'))
  t.match(await untilEnd(socket), /^HTTP\/1.1 100 Continue.*HTTP\/1.1 408 /s)
})

t.test('a body may be slow', async t => {
  const { open, client } = await listening(t)
  const socket = await open()
  const answered = once(socket, 'data')
  socket.write(patch(await client.begin('a'), 10))
  for (let sent = 0; sent < 10; sent++) {
    await sleep(IDLE_MS / 4)
    socket.write('x')
  }
  t.match(String(await answered), /^HTTP\/1.1 202 /)
})

t.test('an answer that nobody reads ends with its connection', async t => {
  const { open, client } = await listening(t)
  const digest = await client.pushBlob('a', Buffer.alloc(64 * 1024 * 1024))
  const socket = await open()
  socket.pause()
  socket.write(`GET /v2/a/blobs/${digest} HTTP/1.1\r\nHost: h\r\n\r\n`)
  await sleep(3 * IDLE_MS)
  let size = 0
  socket.on('data', chunk => {
    size += chunk.length
  })
  socket.resume()
  await once(socket, 'close')
  t.ok(size < 64 * 1024 * 1024, `cut after ${size} bytes`)
})

t.test('a connection that is not used is closed', async t => {
  const { open } = await listening(t)
  t.equal(await untilEnd(await open()), '')
})

t.test('a client may wait for as long as the server works', async t => {
  const memory = createMemory()
  const slow = {
    ...memory,
    put: (...args: Parameters<StorageDriver['put']>) => sleep(3 * IDLE_MS).then(() => memory.put(...args))
  }
  const { open } = await listening(t, slow)
  const socket = await open()
  const bytes = 'of a blob'
  const answered = once(socket, 'data')
  socket.write(
    `POST /v2/a/blobs/uploads/?digest=${digestOf(Buffer.from(bytes))} HTTP/1.1\r\nHost: h\r\nContent-Length: ${bytes.length}\r\n\r\n${bytes}`
  )
  t.match(String(await answered), /^HTTP\/1.1 201 /)
})
