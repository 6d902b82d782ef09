/** `clients.ts`: clients that are slow, silent or without end; the others are served meanwhile, and memory is bounded. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { withScratch } from '../reliability/scratch.ts'
import { type ServerProcess, startServer } from '../reliability/server-process.ts'
import { type Client, createClient } from '../support/client.ts'
import { overWire } from './wire.ts'

const MEBIBYTE = 1 << 20
const MEMORY = 300 * MEBIBYTE
/** How long one of the other clients may wait, in ms, on a machine that has more to do. */
const PATIENCE_MS = 5000

interface Crowd {
  name: string
  count: number
  /** What each of them sends at first, and then every 100 ms. */
  begin(client: Client, blob: string): Promise<string>
  goOn: string
  /** Whether they read what is sent to them. */
  reads: boolean
}

const patch = async (client: Client, framing: string): Promise<string> =>
  `PATCH ${await client.begin('crowd')} HTTP/1.1\r\nHost: h\r\n${framing}\r\n\r\n`

const crowds: readonly Crowd[] = [
  { name: 'connections that say nothing', count: 2000, begin: async () => '', goOn: '', reads: true },
  {
    name: 'headers without end',
    count: 300,
    begin: async () => 'GET /v2/ HTTP/1.1\r\n',
    goOn: 'X: y\r\n',
    reads: true
  },
  {
    name: 'bodies of a few bytes a second',
    count: 500,
    begin: client => patch(client, 'Content-Length: 1000000'),
    goOn: 'x',
    reads: true
  },
  {
    name: 'bodies without end',
    count: 20,
    begin: client => patch(client, 'Transfer-Encoding: chunked'),
    goOn: `10000\r\n${'x'.repeat(65_536)}\r\n`,
    reads: true
  },
  {
    name: 'readers that do not read',
    count: 200,
    begin: async (_, blob) => `GET /v2/crowd/blobs/${blob} HTTP/1.1\r\nHost: h\r\n\r\n`,
    goOn: '',
    reads: false
  }
]

await withScratch(10, async (checks, scratch) => {
  const server = await startServer({ ...scratch, env: { HEADERS_TIMEOUT: '5s', IDLE_TIMEOUT: '5s' } })
  const client = createClient(overWire(() => server.url))
  const blob = await client.pushBlob('crowd', Buffer.alloc(32 * MEBIBYTE))
  for (const crowd of crowds) {
    await checks.check(`${crowd.count} ${crowd.name}`, () => servedBeside(crowd, server, client, blob))
  }
  await checks.check('10,000 sessions that are open', async () => {
    const begin = async () => {
      for (let left = 500; left > 0; left--) await client.begin('sessions')
    }
    await Promise.all(Array.from({ length: 20 }, begin))
    return serve(client, server)
  })
  await server.stop()
})

async function servedBeside(crowd: Crowd, server: ServerProcess, client: Client, blob: string): Promise<string> {
  const sockets: Socket[] = []
  for (let number = 0; number < crowd.count; number++) {
    const socket = connect(server.port, '127.0.0.1')
    socket.on('error', () => undefined)
    await once(socket, 'connect')
    socket.write(await crowd.begin(client, blob))
    if (crowd.reads) socket.resume()
    else socket.pause()
    sockets.push(socket)
  }
  const dripping = setInterval(() => {
    for (const socket of sockets)
      if (crowd.goOn && socket.writable && !socket.writableNeedDrain) socket.write(crowd.goOn)
  }, 100)
  try {
    return await serve(client, server)
  } finally {
    clearInterval(dripping)
    for (const socket of sockets) socket.destroy()
    await sleep(200)
  }
}

/** Others push and pull for some seconds; throws when one waits for too long, or the server takes too much memory. */
async function serve(client: Client, server: ServerProcess): Promise<string> {
  let slowest = 0
  let images = 0
  for (const end = performance.now() + 6000; performance.now() < end; images++) {
    const begun = performance.now()
    const { digest } = await client.pushImage('others', 'latest')
    await client.must(200, client.getManifest('others', digest))
    slowest = Math.max(slowest, performance.now() - begun)
  }
  const peak = await server.peakMemory()
  if (slowest > PATIENCE_MS) throw new Error(`an image took ${Math.round(slowest)} ms`)
  if (peak > MEMORY) throw new Error(`the server took ${Math.round(peak / MEBIBYTE)} MiB`)
  return `${images} images beside, the slowest in ${Math.round(slowest)} ms, ${Math.round(peak / MEBIBYTE)} MiB at most`
}
