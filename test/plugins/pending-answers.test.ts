import { once } from 'node:events'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import Fastify from 'fastify'
import t from 'tap'
import pendingAnswers from '../../plugins/pending-answers.ts'

const MIB = 1024 * 1024

t.test('15.4: clients that do not read long answers take up no more memory than is allowed', async t => {
  const warnings: string[] = []
  const stream = { write: (line: string) => void warnings.push(JSON.parse(line).msg) }
  const app = Fastify({ logger: { level: 'warn', stream } })
  const served: Socket[] = []
  app.server.on('connection', socket => served.push(socket))
  await app.register(pendingAnswers, { most: 40 * MIB })
  app.get('/:mib', async ({ params }) => Buffer.alloc(Number((params as { mib: string }).mib) * MIB))
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  const clients: Socket[] = []
  t.teardown(async () => {
    for (const client of clients) client.destroy()
    await app.close()
  })

  const held = () => served.reduce((sum, socket) => sum + (socket.destroyed ? 0 : socket.writableLength), 0)
  const ask = async (path: string): Promise<Socket> => {
    const client = connect({ port, host: '127.0.0.1' })
    clients.push(client)
    client.on('error', () => undefined) // it may be cut off
    await once(client, 'connect')
    const answered = once(app.server, 'request').then(([, response]) => response as NodeJS.EventEmitter)
    client.write(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`)
    await answered
    for (let turns = 0; turns < 20; turns++) await turn()
    return client
  }
  let most = 0
  for (let index = 0; index < 10; index++) {
    ;(await ask('/16')).pause()
    most = Math.max(most, held())
  }
  t.ok(most > 16 * MIB, 'they are not taken')
  t.ok(most <= 40 * MIB, `${most} bytes`)
  t.equal(served.filter(socket => !socket.destroyed).length, 2, 'the newest are left')
  t.equal(warnings.length, 1, 'said once')
  t.match(warnings[0], /BUFFER_MEMORY/)

  const answer = await fetch(`http://127.0.0.1:${port}/16`)
  t.equal((await answer.arrayBuffer()).byteLength, 16 * MIB, 'who reads gets all of it')
  const larger = await fetch(`http://127.0.0.1:${port}/48`)
  t.equal((await larger.arrayBuffer()).byteLength, 48 * MIB, 'and of one that is larger than all that may wait')
  // The client may have all of it before the server hears that it was sent.
  for (let turns = 0; turns < 1000 && held() > 0; turns++) await turn()
  t.equal(held(), 0, 'for which all others made room')
})
