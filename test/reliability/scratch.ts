import { rmSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Checks, createChecks } from './checks.ts'
import { killPrograms, tail } from './program.ts'

/** A fresh folder, and where in it a server keeps its registry and its log. */
export interface Scratch {
  folder: string
  storage: string
  log: string
}

/**
 * The frame of every program that checks a real server: checks that are counted and bounded in time, a folder that is
 * gone afterwards as all programs are, and the end of the server's log where something failed. Ends the process.
 */
export async function withScratch(
  minutes: number,
  run: (checks: Checks, scratch: Scratch) => Promise<void>
): Promise<never> {
  const checks = createChecks(minutes)
  const folder = await mkdtemp(join(tmpdir(), 'marina-'))
  // Also where the program ends early: out of time, or by a signal.
  process.once('exit', () => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }))
  const log = join(folder, 'server.log')
  const failed = (name: string) => (error: unknown) => checks.check(name, () => Promise.reject(error))
  await run(checks, { folder, storage: join(folder, 'registry'), log }).catch(failed('all checks are reached'))
  await killPrograms()
  if (checks.failed > 0) console.log(`The end of the server's log:\n${await tail(log)}`)
  await rm(folder, { recursive: true, force: true }).catch(failed('the folder can be removed'))
  return checks.close()
}
