/** `processes.ts`: two servers on one folder, and pushes that go to both. */
import { digestOf, seededBuffer } from './bytes.ts'
import { expect, locationOf } from './http.ts'
import { allWhole, imagePushes, isWhole, latestIsOneOf, pushAll, type Stored } from './pushes.ts'
import { withScratch } from './scratch.ts'
import { startServer } from './server-process.ts'

const handOvers = 10

await withScratch(5, async (checks, scratch) => {
  const servers = await Promise.all([startServer(scratch), startServer(scratch)])
  const [first, second] = servers
  await checks.check(`${handOvers} uploads begun on one server go on on the other and end on the first`, async () => {
    const numbers = Array.from({ length: handOvers }, (_, number) => number)
    const stored = await Promise.all(numbers.map(number => handOver(first.url, second.url, number)))
    for (const { url } of servers) await allWhole(url, stored)
    return undefined
  })
  const pushes = imagePushes(1)
  const stored: Stored[] = []
  await checks.check('200 pushes at once go to both servers in turns', async () => {
    let turn = 0
    const inTurns = () => servers[turn++ % servers.length]!.url
    await pushAll(pushes, inTurns, part => stored.push(part))
    for (const { url } of servers) {
      await allWhole(url, stored)
      await latestIsOneOf(url, pushes)
    }
    return `${stored.length} blobs, manifests and tags`
  })
  await checks.check('what one server deletes is gone on the other', async () => {
    const part = stored.find(({ path }) => path.includes('/manifests/tag-'))
    if (part === undefined) throw new Error('no tag was pushed')
    await expect(202, `${first.url}${part.path}`, { method: 'DELETE' })
    if (await isWhole(second.url, part)) throw new Error(`${part.path} is still there`)
    return undefined
  })
  await Promise.all(servers.map(server => server.stop()))
})

/** Three chunks, the second of them by another server than the first and the last. */
async function handOver(first: string, second: string, number: number): Promise<Stored> {
  const bytes = seededBuffer(number, 3_000_000 + number)
  const digest = digestOf(bytes)
  const begun = await expect(202, `${first}/v2/handed/over/blobs/uploads/`, { method: 'POST' })
  const one = await expect(202, locationOf(begun, first), { method: 'PATCH', body: bytes.subarray(0, 1_000_000) })
  const two = await expect(202, locationOf(one, second), {
    method: 'PATCH',
    body: bytes.subarray(1_000_000, 2_000_000)
  })
  await expect(201, locationOf(two, first, { digest }), { method: 'PUT', body: bytes.subarray(2_000_000) })
  return { path: `/v2/handed/over/blobs/${digest}`, digest }
}
