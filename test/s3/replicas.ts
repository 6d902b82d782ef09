/** `replicas.ts`: three servers on one bucket behind a load balancer that sends each request to the next one. */
import { setTimeout as sleep } from 'node:timers/promises'
import { beginPush, breakOff, finishPush, moveTo, offsetOf } from '../reliability/broken-push.ts'
import { allWhole, imagePushes, latestIsOneOf, pushAll, type Stored } from '../reliability/pushes.ts'
import { withScratch } from '../reliability/scratch.ts'
import { startServer } from '../reliability/server-process.ts'
import { passingClients } from './counted.ts'
import { chunkedUploads, deletions, referrers, tagMoves } from './load.ts'
import { startBalancer } from './nginx.ts'
import { robotsWork } from './robots.ts'
import { startMinio, startVersitygw } from './servers.ts'

const mebibyte = 1 << 20

await withScratch(15, async (checks, scratch) => {
  for (const start of [startVersitygw, startMinio]) {
    const s3 = await start(scratch)
    const storage = await s3.createBucket()
    const replica = (port?: number) => startServer({ storage, log: scratch.log, ...(port && { port }) })
    const replicas = await Promise.all([replica(), replica(), replica()])
    const balancer = await startBalancer(
      scratch,
      replicas.map(({ port }) => port)
    )
    const { url } = balancer
    const check = (what: string, run: () => Promise<string | undefined>) => checks.check(`${s3.name}: ${what}`, run)

    await check('the clients', () => passingClients(url))
    const pushes = imagePushes(1)
    const stored: Stored[] = []
    await check('pushes, chunks, tag moves, deletions and referrers at once', async () => {
      const images = pushAll(
        pushes,
        () => url,
        part => stored.push(part)
      )
      const [, ...verifications] = await Promise.all([
        images,
        chunkedUploads(url),
        tagMoves(url),
        deletions(url),
        referrers(url)
      ])
      for (const server of replicas) for (const verify of verifications) await verify(server.url)
      return undefined
    })
    await check('every replica serves all that was answered 201', async () => {
      for (const server of replicas) {
        await allWhole(server.url, stored)
        await latestIsOneOf(server.url, pushes)
      }
      return `${stored.length} blobs, manifests and tags`
    })
    for (const [number, killed] of replicas.entries()) {
      await check(`replica ${number + 1} is killed in an upload, which goes on at the others`, async () => {
        const push = await beginPush(`${killed.url}/v2/resumed`, number, 45 * mebibyte + number)
        const sent = 38 * mebibyte
        await breakOff(push, 0, sent, async () => {
          while ((await offsetOf({ ...push })) < 8 * mebibyte) await sleep(20)
          await killed.kill()
        })
        moveTo(push, `${url}/v2/resumed`)
        const kept = await offsetOf(push)
        await finishPush(push)
        replicas[number] = await replica(killed.port)
        return `kept ${kept} of ${sent} bytes`
      })
    }
    await check('robots have tokens', () => robotsWork(storage, scratch.log))
    await Promise.all([balancer, ...replicas, s3].map(program => program.stop()))
  }
})
