import { Command } from 'commander'
import type { Test } from 'tap'
import { UsageError } from '../../src/cli/store.ts'

export interface Outcome {
  code: number
  out: string
  /** What was said beside that, or what stopped the command as `src/cli.ts` would tell it. */
  err: string
}

/** Adds a command to a program, for this environment. */
export type AddCommand = (program: Command, env: NodeJS.ProcessEnv) => void

/** Runs a command in this process. */
export async function runCommand(
  t: Test,
  commands: readonly AddCommand[],
  env: NodeJS.ProcessEnv,
  ...args: string[]
): Promise<Outcome> {
  const program = new Command('marina-distribution').exitOverride()
  for (const add of commands) add(program, env)
  const [out, err] = [t.capture(console, 'log'), t.capture(console, 'error')]
  const before = process.exitCode
  process.exitCode = undefined
  const texts = (calls: { args: unknown[] }[]) => calls.map(({ args }) => `${args[0]}\n`).join('')
  try {
    await program.parseAsync(args, { from: 'user' })
    return { code: Number(process.exitCode ?? 0), out: texts(out()), err: texts(err()) }
  } catch (error) {
    return {
      code: error instanceof UsageError ? 2 : 1,
      out: texts(out()),
      err: `${(error as Error).name}: ${(error as Error).message}`
    }
  } finally {
    out.restore()
    err.restore()
    process.exitCode = before
  }
}
