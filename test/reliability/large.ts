/** `large.ts SIZE` (as `1GiB`): one blob of that size, pushed and pulled both ways, and the memory that it cost. */
import { rm } from 'node:fs/promises'
import { seededBytes, sha256 } from './bytes.ts'
import {
  mebibyte,
  type PushLarge,
  parseSize,
  peakBelow,
  pullWhole,
  pushAtOnce,
  pushStreamed,
  rateOf
} from './large-blob.ts'
import { type Scratch, withScratch } from './scratch.ts'
import { type ServerProcess, startServer } from './server-process.ts'

const memoryLimit = 200 * mebibyte

const size = parseSize(process.argv[2] ?? '1GiB')
const minutes = 5 + size / (1024 * mebibyte)

const ways: { name: string; seed: number; push: PushLarge }[] = [
  { name: 'a streamed PATCH', seed: 1, push: pushStreamed },
  { name: 'a single PUT', seed: 2, push: pushAtOnce }
]

await withScratch(minutes, async (checks, scratch) => {
  for (const { name, seed, push } of ways) {
    const { digest } = await sha256(seededBytes(seed, 0, size))
    await withServer(scratch, async server => {
      const repository = `${server.url}/v2/large`
      await checks.check(`a blob of ${size} bytes is pushed by ${name}`, () =>
        rateOf(size, () => push(repository, seededBytes(seed, 0, size), digest, size))
      )
      await checks.check('it is pulled with the same bytes', () => rateOf(size, () => pullWhole(repository, digest)))
      await checks.check('the server stays below 200 MiB of memory', () => peakBelow(memoryLimit, server))
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
