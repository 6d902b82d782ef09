/** `resume.ts N`: N pushes broken at random bytes, and taken up again where the registry says that it stands. */
import { randomInt } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { beginPush, breakOff, finishPush, offsetOf } from './broken-push.ts'
import { withScratch } from './scratch.ts'
import { startServer } from './server-process.ts'

const rounds = Number(process.argv[2] ?? 10)
const mebibyte = 1 << 20

await withScratch(5 + rounds / 5, async (checks, scratch) => {
  let server = await startServer(scratch)
  let sent = 0
  let kept = 0
  for (let round = 1; round <= rounds; round++) {
    const killing = round % 2 === 0
    await checks.check(`push ${round} survives ${killing ? 'a killed server' : 'broken connections'}`, async () => {
      const push = await beginPush(`${server.url}/v2/resumed`, round, randomInt(8 * mebibyte, 40 * mebibyte))
      const places: string[] = []
      let from = 0
      for (let breaks = randomInt(1, 4); breaks > 0 && from < push.size - 1; breaks--) {
        const at = randomInt(from + 1, push.size)
        await breakOff(push, from, at, killing ? server.kill : () => sleep(0))
        if (killing) server = await startServer({ ...scratch, port: server.port })
        else await sleep(100)
        const offset = await offsetOf(push)
        if (offset < from || offset > at) throw new Error(`of ${at} bytes sent, ${offset} are said to be there`)
        if (!killing) {
          sent += at - from
          kept += offset - from
        }
        from = offset
        places.push(`${offset} of ${at}`)
      }
      await finishPush(push)
      return `${push.size} bytes, kept ${places.join(', ')}`
    })
  }
  // Of what a killed server had not yet read nobody knows how much there was, so those rounds don't count.
  await checks.check('most of what was sent before the connections broke is not sent again', async () => {
    if (kept < sent / 2) throw new Error(`${kept} of ${sent} bytes were kept`)
    return `${kept} of ${sent} bytes were kept`
  })
  await server.stop()
})
