/** `crash.ts N`: the server is killed N times while clients write in every way that there is, and garbage is collected. */
import { setTimeout as sleep } from 'node:timers/promises'
import { withScratch } from '../reliability/scratch.ts'
import { type ServerProcess, startServer } from '../reliability/server-process.ts'
import { createClient } from '../support/client.ts'
import { createChance } from './chance.ts'
import { account, createLedger, type Owed } from './ledger.ts'
import { checkOwed } from './owed.ts'
import { ageFiles } from './recording.ts'
import { createScenario, prepareShared } from './scenario.ts'
import { isBroken, overWire } from './wire.ts'

const rounds = Number(process.argv[2] ?? 5)
const seed = Number(process.argv[3] ?? 1)

const PUSHERS = 8
/** More than a client can do until the server is killed. */
const OPERATIONS = 1000
const LONGEST_LIFE_MS = 1500
/** Longer than the grace of the collector, which is an hour at least. */
const TIME_PASSED_MS = 2 * 60 * 60 * 1000

await withScratch(2 + rounds, async (checks, scratch) => {
  const chance = createChance(seed)
  const owed: Owed = new Map()
  let answers = 0
  const ledger = createLedger(entry => {
    account(owed, entry)
    if (entry.kind === 'answered') answers += 1
  })
  const storage = { STORAGE_PATH: scratch.storage, GC_GRACE: '1h', GC_INTERVAL: '1s' }
  let server: ServerProcess = await startServer({ ...scratch, storage })
  const client = createClient(overWire(() => server.url))
  const scenario = createScenario({ client, ledger, chance, pushers: PUSHERS })
  await prepareShared(client)

  for (let round = 1; round <= rounds; round++) {
    await checks.check(`${round}. what was answered before the server is killed is as answered`, async () => {
      answers = 0
      const writing = scenario.round(OPERATIONS)
      await sleep(chance.between(1, LONGEST_LIFE_MS))
      await server.kill()
      const failures = await writing
      server = await startServer({ ...scratch, storage, port: server.port })
      const fault = failures.find(({ error }) => !isBroken(error))
      if (fault) throw fault.error
      await checkOwed(client, owed)
      const answered = answers
      await scenario.again(failures)
      await checkOwed(client, owed)
      return `${answered} answers before, ${failures.length} operations done again, ${owed.size} things looked at`
    })
    scenario.forget()
    ageFiles(scratch.storage, TIME_PASSED_MS)
  }
  await server.stop()
})
