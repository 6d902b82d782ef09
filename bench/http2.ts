/**
 * `npm run bench:http2 [-- --rounds N]`: what HTTP/2 would cost. A gibibyte over TLS down and up, by HTTP/1.1 and by
 * HTTP/2, with a bare server of Node.js that handles bytes as this registry does. Prints ratios.
 */
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { createSecureServer } from 'node:http2'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { parseArgs, promisify } from 'node:util'
import { createAuthority } from '../test/support/certificates.ts'
import { medianOf } from './figures.ts'
import { machine } from './machine.ts'

const run = promisify(execFile)
const SIZE = 2 ** 30
const PIECE = Buffer.alloc(256 * 1024, 'x')

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '5' } } })
const folder = await mkdtemp(join(tmpdir(), 'marina-http2-'))
process.once('exit', () => void rm(folder, { recursive: true, force: true }))

const authority = createAuthority(join(folder, 'ca'))
const { cert, key } = authority.issue('localhost')
const large = join(folder, 'large')
await writeFile(large, '')
await truncate(large, SIZE)

async function answer(request: Readable & { method?: string }, response: Writable): Promise<void> {
  if (request.method === 'PUT') for await (const _ of request);
  else {
    for (let sent = 0; sent < SIZE; sent += PIECE.length) {
      await new Promise<void>(resolve => response.write(PIECE, () => resolve()))
    }
  }
  response.end()
}

// As wide as HTTP/2 can be opened: with the windows that it begins with it would wait for the client.
const windows = { initialWindowSize: 2 ** 24, maxFrameSize: 2 ** 20 }
const one = createServer({ cert, key }, (request, response) => void answer(request, response))
const two = createSecureServer({ cert, key, settings: windows }, (request, response) => void answer(request, response))
two.on('session', session => session.setLocalWindowSize(2 ** 24))

const works: Record<string, string[]> = {
  'Pull of 1 GiB': ['/pull', '--output', '/dev/null'],
  'Push of 1 GiB': ['/push', '--upload-file', large, '--output', '/dev/null']
}

async function measure(protocol: '1.1' | '2', port: number, [path = '', ...options]: string[]) {
  const [before, begun] = [process.cpuUsage(), performance.now()]
  const url = `https://localhost:${port}${path}`
  const trusting = ['--silent', '--show-error', '--fail', '--cacert', authority.caFile]
  const { stdout } = await run('curl', [...trusting, `--http${protocol}`, '-w', '%{http_version}', ...options, url])
  if (stdout !== protocol) throw new Error(`curl spoke HTTP/${stdout}`)
  const { user, system } = process.cpuUsage(before)
  return { seconds: (performance.now() - begun) / 1000, cpu: (user + system) / 1e6 }
}

for (const server of [one, two]) await once(server.listen(0, '127.0.0.1'), 'listening')
const ports = [one, two].map(server => (server.address() as AddressInfo).port)
console.log(`${machine()}; medians of ${values.rounds} rounds, HTTP/2 as a multiple of HTTP/1.1\n`)
console.log('|  | seconds | processor time of the server |\n|---|---:|---:|')
for (const [work, options] of Object.entries(works)) {
  const ratios: { seconds: number; cpu: number }[] = []
  for (let round = 0; round < Number(values.rounds); round++) {
    const [http1, http2] = [await measure('1.1', ports[0]!, options), await measure('2', ports[1]!, options)]
    ratios.push({ seconds: http2.seconds / http1.seconds, cpu: http2.cpu / http1.cpu })
  }
  const [seconds, cpu] = (['seconds', 'cpu'] as const).map(figure =>
    medianOf(ratios.map(ratio => ratio[figure])).toFixed(2)
  )
  console.log(`| ${work} | ${seconds} | ${cpu} |`)
}
process.exit()
