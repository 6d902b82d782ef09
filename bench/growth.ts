/**
 * `npm run bench:growth`: the same requests to a small registry and to one with a million objects, on a folder and on
 * S3. What a request costs may not grow with what is stored. Ends with `N passed, N failed`.
 */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { Checks } from '../test/reliability/checks.ts'
import { type Scratch, withScratch } from '../test/reliability/scratch.ts'
import { startVersitygw } from '../test/s3/servers.ts'
import { rateOf } from './drive.ts'
import { medianOf } from './figures.ts'
import { type Grown, type GrowthRequest, growthRequests, large, seedGrown, small } from './grown.ts'
import { ownPeer } from './peers.ts'
import { type Server, startServer } from './server.ts'

/** A large registry may take so many times what a small one does. */
const LIMIT = 1.2
const clients = 4
const warmUpSeconds = 0.5

const usage = `node --import tsx bench/growth.ts [options]
  --on folder|s3   (both)
  --only TEXT      requests whose names have this in them
  --share N        of what the large registry holds: 0.01 for a hundredth (1)
  --rounds N       (5)
  --seconds N      of one run of a request (1)`
const { on, only, share, rounds, seconds } = parseSettings()

interface Pair {
  small: Server
  large: Server
}

await withScratch(120, async ({ check }, scratch) => {
  if (on !== 's3') await compare('a folder', check, await onFolders(scratch))
  if (on !== 'folder') await compare('S3', check, await onS3(scratch))
})

function parseSettings() {
  const text = { type: 'string' } as const
  const { values } = parseArgs({ options: { on: text, only: text, share: text, rounds: text, seconds: text } })
  const { on = 'both', only = '' } = values
  const numbers = {
    share: Number(values.share ?? 1),
    rounds: Number(values.rounds ?? 5),
    seconds: Number(values.seconds ?? 1)
  }
  const wrong = !['both', 'folder', 's3'].includes(on) || Object.values(numbers).some(number => !(number > 0))
  const none = !growthRequests().some(({ what }) => what.includes(only))
  if (wrong || none) throw new Error(usage)
  return { on, only, ...numbers }
}

/** What the large registry holds, or the share of it that was asked for. */
function largeShare(): Grown {
  const part = (name: keyof Grown) => Math.max(small[name], Math.round(large[name] * share))
  return { objects: part('objects'), tags: part('tags'), referrers: part('referrers') }
}

async function onFolders({ folder }: Scratch): Promise<Pair> {
  const peer = ownPeer(({ storage }) => ({ STORAGE_PATH: storage }))
  const start = (name: string, grown: Grown) => {
    const storage = join(folder, name)
    seedGrown(storage, grown)
    return startServer(peer, folder, storage)
  }
  return { small: await start('small', small), large: await start('large', largeShare()) }
}

/** versitygw keeps each object as a file, so that its buckets are filled as folders are. */
async function onS3(scratch: Scratch): Promise<Pair> {
  const installed = execFileSync(join(import.meta.dirname, '../.ci/install-s3'), ['--path'], {
    encoding: 'utf8'
  }).trim()
  process.env.PATH = `${installed}:${process.env.PATH}`
  const s3 = await startVersitygw(scratch)
  const start = async (grown: Grown) => {
    const bucket = await s3.createBucket()
    seedGrown(join(s3.folder, bucket.S3_BUCKET!), grown)
    return startServer(
      ownPeer(() => bucket),
      scratch.folder
    )
  }
  return { small: await start(small), large: await start(largeShare()) }
}

async function compare(where: string, check: Checks['check'], pair: Pair): Promise<void> {
  const requests = growthRequests().filter(({ what }) => what.includes(only))
  const compareThose = async (grow: boolean) => {
    for (const request of requests.filter(({ grows }) => (grows !== undefined) === grow)) {
      await check(`${where}: ${request.what}`, () => compareRequest(pair, request, where === 'S3'))
    }
  }
  await compareThose(false)
  await check(`${where}: memory`, async () => {
    const [few, many] = (await Promise.all([pair.small.use(), pair.large.use()])).map(use => use.peakMebibytes)
    if (many! > few! * LIMIT) throw new Error(`${Math.round(few!)} MiB grow to ${Math.round(many!)} MiB`)
    return `${Math.round(many!)} MiB, and ${Math.round(few!)} MiB where little is stored`
  })
  await compareThose(true)
  await Promise.all([pair.small.stop(), pair.large.stop()])
}

/**
 * On S3 the latency is the server's of the bucket first of all, which is not measured here: it is only told. And the
 * small registry is asked no more often than the large one answers there, for a request costs more where there are few.
 */
async function compareRequest(pair: Pair, { task, grows }: GrowthRequest, onS3: boolean): Promise<string> {
  const rates: Record<keyof Pair, number[]> = { small: [], large: [] }
  const latencies: number[] = []
  for (const server of [pair.small, pair.large]) await rateOf(server, { clients, seconds: warmUpSeconds, task })
  for (let round = 0; round < rounds; round++) {
    const many = await rateOf(pair.large, { clients, seconds, task })
    const pace = onS3 ? { perSecond: many.perSecond! } : {}
    const few = await rateOf(pair.small, { clients, seconds, task, ...pace })
    rates.small.push(few.perCpuSecond!)
    rates.large.push(many.perCpuSecond!)
    latencies.push(many.p50! / few.p50!)
  }
  const [times, latency] = [medianOf(rates.small) / medianOf(rates.large), medianOf(latencies)]
  const told = `${times.toFixed(2)} times the processor time, ${latency.toFixed(2)} times the latency`
  if (grows) return `${told}: ${grows}`
  if (times > LIMIT || (latency > LIMIT && !onS3)) throw new Error(told)
  return told
}
