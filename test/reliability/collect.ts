/**
 * `collect.ts BLOBS`: a collection over a folder with so many blobs, half of them garbage: its memory, and what requests
 * that are answered meanwhile pay for it.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createLatency, type Latency } from './latency.ts'
import { environment } from './program.ts'
import { withScratch } from './scratch.ts'
import { seedBlobs } from './seed-blobs.ts'
import { startServer } from './server-process.ts'

const blobs = Number(process.argv[2] ?? 100_000)
/** What a collection may hold, whatever the store holds. */
const MEMORY_LIMIT = 400 * 1024 * 1024
/** Where a machine has plenty, garbage is left to lie: what is in use must find room in so many MiB. */
const HEAP_MIB = 160
/** How much longer a request may take while there is a collection. */
const LATENCY_LIMIT = 4 / 3
const MEASURED_MS = 15_000
const program = join(import.meta.dirname, '../../dist/src/cli.js')

interface Collected {
  links: number
  durationMs: number
  peakMemory: number
}

await withScratch(90, async (checks, { storage, log }) => {
  const variables = { STORAGE_PATH: storage, GC_GRACE: '1h' }
  const serve = (interval: string) => startServer({ storage: { ...variables, GC_INTERVAL: interval }, log })
  await checks.check(`${blobs} blobs are there`, async () => seedBlobs(storage, blobs))

  const alone: Latency[] = []
  await checks.check('a command collects them, and memory is bounded', async () => {
    const server = await serve('0s')
    const latency = await createLatency(server.url)
    alone.push(await latency.measure(MEASURED_MS))
    const { links, durationMs, peakMemory } = await latency.during(() => collect(variables))
    console.log(`     requests beside it: ${told(latency.last, alone[0]!)}`)
    await server.stop()
    if (links !== blobs / 2) throw new Error(`${links} links went, of ${blobs / 2}`)
    const mebibytes = Math.round(peakMemory / 1024 / 1024)
    if (peakMemory > MEMORY_LIMIT) throw new Error(`${mebibytes} MiB were held`)
    return `${links} links in ${(durationMs / 1000).toFixed(1)} s with ${mebibytes} MiB at most`
  })

  await checks.check('requests of a server that collects all the time take a third longer at most', async () => {
    const ratios: number[] = []
    for (let round = 0; round < 3; round++) {
      const measured: Latency[] = []
      for (const interval of ['0s', '1s']) {
        const server = await serve(interval)
        const latency = await createLatency(server.url)
        await sleep(2000)
        measured.push(await latency.measure(MEASURED_MS))
        await server.stop()
      }
      const [without, beside] = measured as [Latency, Latency]
      console.log(`     ${told(beside, without)}`)
      ratios.push(beside.meanMs / without.meanMs)
    }
    const ratio = ratios.sort((a, b) => a - b)[1]!
    if (ratio > LATENCY_LIMIT) throw new Error(`${ratio.toFixed(2)} times as long`)
    return `${ratio.toFixed(2)} times as long`
  })
})

function told(beside: Latency, without: Latency): string {
  const rows: [string, keyof Latency][] = [
    ['mean', 'meanMs'],
    ['median', 'medianMs'],
    ['99 %', 'slowMs']
  ]
  return rows.map(([what, row]) => `${what} ${without[row].toFixed(2)} → ${beside[row].toFixed(2)} ms`).join(', ')
}

/** Runs `gc` to its end, and watches its memory. */
async function collect(env: Record<string, string>): Promise<Collected> {
  const child = spawn(process.execPath, [`--max-old-space-size=${HEAP_MIB}`, program, 'gc', '--json'], {
    env: environment(env),
    stdio: ['ignore', 'pipe', 'inherit']
  })
  let out = ''
  child.stdout.setEncoding('utf8').on('data', text => {
    out += text
  })
  let peakMemory = 0
  const ended = once(child, 'close')
  for (let over = false; !over; ) {
    const status = await readFile(`/proc/${child.pid}/status`, 'utf8').catch(() => '')
    peakMemory = Math.max(peakMemory, 1024 * Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0))
    over = await Promise.race([ended.then(() => true), sleep(100, false)])
  }
  const [code] = await ended
  if (code !== 0) throw new Error(`gc ended with ${code}: ${out}`)
  const { links, durationMs } = JSON.parse(out) as { links: number; durationMs: number }
  return { links, durationMs, peakMemory }
}
