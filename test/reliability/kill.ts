/** `kill.ts N`: the server is killed in the middle of 200 pushes at once, N times over; what it said it had, it has. */
import { randomInt } from 'node:crypto'
import {
  allWhole,
  type ImagePush,
  imagePushes,
  isWhole,
  latestIsOneOf,
  partsOf,
  pushAll,
  pushImage,
  type Stored
} from './pushes.ts'
import { withScratch } from './scratch.ts'
import { type ServerProcess, startServer } from './server-process.ts'

const rounds = Number(process.argv[2] ?? 3)

await withScratch(5 + 2 * rounds, async (checks, scratch) => {
  const everything: Stored[] = []
  let server = await startServer(scratch)
  for (let round = 1; round <= rounds; round++) {
    const pushes = imagePushes(round)
    const acknowledged: Stored[] = []
    await checks.check(`${round}. the server is killed amid 200 pushes, and starts again`, async () => {
      acknowledged.push(...(await pushUntilKilled(server, pushes)))
      server = await startServer({ ...scratch, port: server.port })
      return `${acknowledged.length} answers 201 before`
    })
    await checks.check(`${round}. all that was answered 201 is whole`, async () => {
      await allWhole(server.url, acknowledged)
      return undefined
    })
    await checks.check(`${round}. all else is whole or absent`, async () => {
      const parts = pushes.flatMap(partsOf)
      const whole = await Promise.all(parts.map(part => isWhole(server.url, part)))
      return `${whole.filter(Boolean).length} of ${parts.length} are there`
    })
    await checks.check(`${round}. the same pushes succeed now`, async () => {
      await pushAll(
        pushes,
        () => server.url,
        part => everything.push(part)
      )
      await latestIsOneOf(server.url, pushes)
      return undefined
    })
  }
  await checks.check('all rounds are whole in the end', async () => {
    await allWhole(server.url, everything)
    return `${everything.length} blobs, manifests and tags`
  })
  await server.stop()
})

/** Returns what was acknowledged until the kill. Throws when a push failed before it. */
async function pushUntilKilled(server: ServerProcess, pushes: readonly ImagePush[]): Promise<Stored[]> {
  const acknowledged: Stored[] = []
  const killAfter = randomInt(1, 4 * pushes.length)
  let killed: Promise<void> | undefined
  const acknowledge = (part: Stored) => {
    acknowledged.push(part)
    if (acknowledged.length >= killAfter) killed ??= server.kill()
  }
  const faults: unknown[] = []
  const push = (image: ImagePush) =>
    pushImage(image, () => server.url, acknowledge).catch((error: unknown) => {
      if (killed === undefined) faults.push(error)
    })
  await Promise.all(pushes.map(push))
  await killed
  if (faults.length > 0) throw faults[0]
  return acknowledged
}
