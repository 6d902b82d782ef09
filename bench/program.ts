import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { Figures } from './figures.ts'

const run = promisify(execFile)

/** How long a program takes, in seconds, with its start. */
export async function timeOfProgram(program: string, args: string[]): Promise<Figures> {
  const begun = performance.now()
  await run(program, args)
  return { seconds: (performance.now() - begun) / 1000 }
}
