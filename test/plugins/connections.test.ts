import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { buffer } from 'node:stream/consumers'
import t from 'tap'
import { createMemory } from '../../src/storage/memory.ts'
import { openRegistry } from '../support/registry.ts'
import { openSocket } from './edge.ts'

const ASK = 'GET /v2/ HTTP/1.1\r\nHost: h\r\n\r\n'

t.test('15.30: between two requests a connection stays for KEEP_ALIVE_TIMEOUT, whatever IDLE_TIMEOUT is', async t => {
  for (const [settings, seconds] of [
    [{}, 620],
    [{ keepAliveTimeoutMs: 4_000_000 }, 4000],
    [{ keepAliveTimeoutMs: 5000, idleTimeoutMs: 1000 }, 5]
  ] as const) {
    const { app } = await openRegistry(t, createMemory(), settings)
    const accepted = once(app.server, 'connection') as Promise<[Socket]>
    const { socket, until } = await openSocket(app)
    const [served] = await accepted
    for (let times = 0; times < 2; times++) {
      socket.write(ASK)
      t.match(await until('{}'), new RegExp(`\r\nKeep-Alive: timeout=${seconds}\r\n`, 'i'))
    }
    // What ends an idle connection is its socket's own clock; Node adds up to a second.
    const [least, most] = [seconds * 1000, seconds * 1000 + 1000]
    t.ok(served.timeout! >= least && served.timeout! <= most, `${served.timeout} ms for ${seconds} s`)
    socket.destroy()
  }
})

t.test('15.30: a head may be as long as MAX_HEADER_BYTES, and is refused beyond it', async t => {
  for (const [settings, taken, refused] of [
    [{}, [8000, 15_000, 24_000, 32_800, 60_000], 66_000],
    [{ maxHeaderBytes: 8192 }, [7500], 8500],
    [{ maxHeaderBytes: 2 ** 20 }, [1_000_000], 1_100_000]
  ] as const) {
    const { app } = await openRegistry(t, createMemory(), settings)
    for (const length of taken) {
      const { socket, until } = await openSocket(app)
      socket.write(ASK.replace('\r\n\r\n', `\r\nAuthorization: Bearer ${'a'.repeat(length)}\r\n\r\n`))
      t.match(await until('{}'), /^HTTP\/1.1 200 /, `${length} bytes`)
      socket.destroy()
    }
    const { socket, until } = await openSocket(app)
    socket.write(ASK.replace('\r\n\r\n', `\r\nAuthorization: Bearer ${'a'.repeat(refused)}\r\n\r\n`))
    t.match(await until('errors'), /^HTTP\/1.1 431 /, `${refused} bytes`)
    socket.destroy()
  }
})

t.test('15.18: connections beyond MAX_CONNECTIONS are told so, and served again once others have closed', async t => {
  const warnings: unknown[] = []
  const onLog = ({ level, msg }: Record<string, unknown>) => level === 40 && warnings.push(msg)
  const { app } = await openRegistry(t, createMemory(), { maxConnections: 3, onLog })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  const held = Array.from({ length: 3 }, () => connect(port, '127.0.0.1'))
  await Promise.all(held.map(socket => once(socket, 'connect')))
  const ask = async (path: string) => {
    const sent = request({ port, path, agent: false }).end()
    const [answer] = (await once(sent, 'response')) as [IncomingMessage]
    return { status: answer.statusCode, headers: answer.headers, body: (await buffer(answer)).toString() }
  }
  for (let times = 0; times < 2; times++) {
    const { status, headers, body } = await ask('/v2/')
    t.equal(status, 503)
    t.match(headers, { connection: 'close', 'retry-after': /^\d+$/, 'content-type': 'application/json' })
    t.match(JSON.parse(body), { errors: [{ code: 'UNAVAILABLE', message: /too many connections/ }] })
  }
  t.equal((await ask('/livez')).status, 200, 'a process that is only busy is alive')
  t.match(warnings, [/^all 3 connections of MAX_CONNECTIONS are open/], 'one line, not one a connection')

  for (const socket of held) socket.destroy()
  const statuses = new Set<number | undefined>()
  for (let tries = 0; tries < 100 && !statuses.has(200); tries++) statuses.add((await ask('/v2/')).status)
  t.ok(statuses.has(200), 'served')

  const flood = Array.from({ length: 150 }, () => connect(port, '127.0.0.1'))
  let closed = 0
  for (const socket of flood) socket.on('error', () => {}).once('close', () => closed++)
  while (closed < 47) await new Promise(resolve => setImmediate(resolve))
  t.pass('what is far beyond is closed at once')
  for (const socket of flood) socket.destroy()
})
