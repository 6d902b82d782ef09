import { existsSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { largeDigest, largePieces } from '../content.ts'
import { pushImage } from '../corpus.ts'
import { drive, rateOf, timeOf } from '../drive.ts'
import type { Figures, Outcome } from '../figures.ts'
import { timeOfProgram } from '../program.ts'
import { type Bench, registries, type Scenario } from '../scenario.ts'
import type { Server } from '../server.ts'
import type { Way } from '../tasks.ts'
import { byTag, smallConfig, smallLayers, smallRepository, smallTag } from './reads.ts'

const repository = 'large/blob'
const streams = 18
const streamBytes = 64 * 2 ** 20
const probe = { clients: 1, task: { kind: 'request', method: 'GET', path: byTag } } as const

/** Large blobs, mostly on tmpfs: there the server is measured and not the disk. */
export function largeScenarios(bench: Bench): Scenario[] {
  const size = bench.settings.largeBytes
  const { file, openssl, dd } = createPlain(bench)
  const push = (server: Server, count: number, way?: Way) => timeOf(server, pushes(size, count, way))
  return [
    {
      ...onFresh('large', 'memory', server => pushAndPull(server, size, file)),
      peers: [...registries, 'nginx'],
      plain: { openssl: async () => ({ 'large-push': await openssl() }) }
    },
    {
      ...onFresh('large-on-disk', 'disk', async server => ({ 'large-push-disk': await push(server, 1) })),
      plain: {
        openssl: async () => ({ 'large-push-disk': await openssl() }),
        dd: async () => ({ 'large-push-disk': await dd() })
      }
    },
    onFresh('large-chunked', 'memory', async server => ({ 'large-push-chunked': await push(server, 1, 'patch') })),
    onFresh('large-4', 'memory', async server => ({ 'large-push-4': await push(server, 4) })),
    onFresh('small-while-large', 'memory', server => smallWhileLarge(server, size)),
    onFresh('streams', 'memory', manyStreams)
  ]
}

function onFresh(name: string, on: 'memory' | 'disk', run: (server: Server) => Promise<Outcome>): Scenario {
  return { name, on, peers: registries, run }
}

/** So many blobs at a time, none like another. */
function pushes(size: number, count: number, way: Way = 'put') {
  const digests = Array.from({ length: count }, (_, seed) => largeDigest(seed, size))
  return { clients: count, count, task: { kind: 'push-large', repository, size, digests, way } } as const
}

const blobPath = (size: number): string => `/v2/${repository}/blobs/${largeDigest(0, size)}`

/** nginx takes no pushes: its file is put there. */
async function pushAndPull(server: Server, size: number, file: (path: string) => Promise<void>): Promise<Outcome> {
  const isRegistry = server.peer.name !== 'nginx'
  const path = isRegistry ? blobPath(size) : '/large'
  const pull = (count: number): Promise<Figures> =>
    timeOf(server, { clients: count, count, task: { kind: 'request', method: 'GET', path, bytes: size } })
  if (!isRegistry) await file(join(server.storage, 'large'))
  const pushed = isRegistry && { 'large-push': await timeOf(server, pushes(size, 1)) }
  return { ...pushed, 'large-pull': await pull(1), 'large-pull-4': await pull(4) }
}

/** A client that reads a manifest over and over for as long as another one pushes. */
async function smallWhileLarge(server: Server, size: number): Promise<Outcome> {
  await pushImage(server, smallRepository, smallTag, smallConfig, smallLayers)
  await rateOf(server, { ...probe, seconds: 1 })
  const { results } = await drive(server, [pushes(size, 1), probe])
  const { p50, p99 } = results[1]!
  return { 'small-while-large': { p50, p99 } }
}

/** 36 streams at once: what they cost in memory. */
async function manyStreams(server: Server): Promise<Outcome> {
  await drive(server, [pushes(streamBytes, 1)])
  const path = blobPath(streamBytes)
  await drive(server, [
    pushes(streamBytes, streams),
    { clients: streams, task: { kind: 'request', method: 'GET', path, bytes: streamBytes } }
  ])
  return { streams: { mebibytes: (await server.use()).peakMebibytes } }
}

/** The same bytes as a file in memory, and what the system's own programs need for them. */
function createPlain({ settings, memory, disk }: Bench) {
  const source = join(memory, 'large')
  const file = (path: string) => writeFile(path, largePieces(0, settings.largeBytes)())
  const time = async (program: string, args: string[]): Promise<Figures> => {
    if (!existsSync(source)) await file(source)
    return timeOfProgram(program, args)
  }
  return {
    file,
    openssl: () => time('openssl', ['dgst', '-sha256', source]),
    dd: async () => {
      const copy = join(disk, 'copy')
      const figures = await time('dd', [`if=${source}`, `of=${copy}`, 'bs=1M', 'conv=fsync'])
      await rm(copy)
      return figures
    }
  }
}
