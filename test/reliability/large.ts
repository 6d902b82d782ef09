/** `large.ts SIZE` (as `1GiB`): one blob of that size, pushed and pulled both ways, and the memory that it cost. */
import { rm } from 'node:fs/promises'
import { seededBytes, sha256 } from './bytes.ts'
import { expect, locationOf, open } from './http.ts'
import { type Scratch, withScratch } from './scratch.ts'
import { type ServerProcess, startServer } from './server-process.ts'

const mebibyte = 1 << 20
const memoryLimit = 200 * mebibyte

const size = parseSize(process.argv[2] ?? '1GiB')
const minutes = 5 + size / (1024 * mebibyte)

interface Way {
  name: string
  seed: number
  push(url: string, content: Iterable<Uint8Array>, digest: string): Promise<void>
}

const ways: Way[] = [
  { name: 'a streamed PATCH', seed: 1, push: pushStreamed },
  { name: 'a single PUT', seed: 2, push: pushAtOnce }
]

await withScratch(minutes, async (checks, scratch) => {
  for (const way of ways) {
    const { digest } = await sha256(seededBytes(way.seed, 0, size))
    await withServer(scratch, async server => {
      await checks.check(`a blob of ${size} bytes is pushed by ${way.name}`, () =>
        rateOf(() => way.push(server.url, seededBytes(way.seed, 0, size), digest))
      )
      await checks.check('it is pulled with the same bytes', () => rateOf(() => pull(server, digest)))
      await checks.check('the server stays below 200 MiB of memory', async () => {
        const peak = await server.peakMemory()
        if (peak >= memoryLimit) throw new Error(`its peak was ${Math.round(peak / mebibyte)} MiB`)
        return `peak ${Math.round(peak / mebibyte)} MiB`
      })
    })
  }
})

/** A fresh registry for each way, so that one way's bytes and memory don't count for the other. */
async function withServer(scratch: Scratch, run: (server: ServerProcess) => Promise<void>): Promise<void> {
  const server = await startServer(scratch)
  try {
    await run(server)
  } finally {
    await server.kill()
    await rm(scratch.storage, { recursive: true, force: true })
  }
}

/** As docker does it: one PATCH of unknown length, then an empty PUT. */
async function pushStreamed(url: string, body: Iterable<Uint8Array>, digest: string): Promise<void> {
  const session = locationOf(await expect(202, `${url}/v2/large/blobs/uploads/`, { method: 'POST' }), url)
  const patched = await expect(202, session, { method: 'PATCH', body })
  const { range } = patched.headers
  if (range !== `0-${size - 1}`) throw new Error(`PATCH answered the Range ${range}`)
  await expect(201, locationOf(patched, url, { digest }), { method: 'PUT' })
}

async function pushAtOnce(url: string, body: Iterable<Uint8Array>, digest: string): Promise<void> {
  const begun = await expect(202, `${url}/v2/large/blobs/uploads/`, { method: 'POST' })
  const headers = { 'content-type': 'application/octet-stream', 'content-length': size }
  await expect(201, locationOf(begun, url, { digest }), { method: 'PUT', headers, body })
}

async function pull({ url }: ServerProcess, digest: string): Promise<void> {
  const answer = await open(`${url}/v2/large/blobs/${digest}`)
  if (answer.statusCode !== 200) throw new Error(`GET answered ${answer.statusCode}`)
  const pulled = await sha256(answer)
  if (pulled.digest !== digest) throw new Error(`${pulled.size} bytes with the digest ${pulled.digest}`)
}

async function rateOf(run: () => Promise<void>): Promise<string> {
  const begun = performance.now()
  await run()
  return `${Math.round(size / mebibyte / ((performance.now() - begun) / 1000))} MiB/s`
}

/** `512MiB`, `1GiB` or plain bytes. */
function parseSize(text: string): number {
  const match = /^(\d+)(MiB|GiB)?$/.exec(text)
  if (match === null) throw new Error(`The size is "${text}" and should be like 512MiB or 10GiB`)
  const unit = match[2] === undefined ? 1 : match[2] === 'MiB' ? mebibyte : 1024 * mebibyte
  return Number(match[1]) * unit
}
