#!/usr/bin/env node
import { CommanderError } from 'commander'
import { createProgram } from './cli/program.ts'
import { CommandError, UsageError } from './cli/store.ts'
import { refuseUnknownCommand } from './cli/unknown-command.ts'
import { ConfigError } from './config.ts'
import { StartError } from './listening.ts'
import { serve } from './server.ts'
import { StorageError } from './storage/driver.ts'

/** Exit codes beside 0; README.md tells what they mean. */
const FAILED = 1
const MISUSED = 2

const program = createProgram(() => serve(process.env))

// Whoever reads what a command writes may have seen enough, as `head` has: that is no crash.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.exit(FAILED)
})

try {
  refuseUnknownCommand(program, process.argv.slice(2))
  await program.parseAsync()
} catch (error) {
  // It has said what is wrong, or has shown what was asked for.
  if (error instanceof CommanderError) process.exit(error.exitCode === 0 ? 0 : MISUSED)
  const forOperator = [ConfigError, StartError, CommandError, StorageError].some(kind => error instanceof kind)
  console.error(forOperator ? (error as Error).message : error)
  process.exit(error instanceof UsageError ? MISUSED : FAILED)
}
