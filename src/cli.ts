#!/usr/bin/env node
import { Command, CommanderError } from 'commander'
import { addConfig } from './cli/config.ts'
import { addGc } from './cli/gc.ts'
import { addHtpasswd } from './cli/htpasswd.ts'
import { addPolicy } from './cli/policy.ts'
import { addRepository } from './cli/repository.ts'
import { CommandError } from './cli/store.ts'
import { addToken } from './cli/token.ts'
import { addVerify } from './cli/verify.ts'
import { addWhy } from './cli/why.ts'
import { variablesText } from './config/schema.ts'
import { ConfigError } from './config.ts'
import { StartError } from './listening.ts'
import { serve } from './server.ts'
import { version } from './version.ts'

/** Exit codes beside 0; README.md tells what they mean. */
const FAILED = 1
const MISUSED = 2

const program = new Command('marina-distribution')
  // First, since commands take it over as they are added.
  .exitOverride()
  .description('A registry for container images and every other OCI artifact.')
  .version(version)
  .addHelpText('after', `\nEnvironment variables (docs/configuration.md tells more):\n${variablesText()}`)

program
  .command('serve', { isDefault: true })
  .description('run the registry until SIGTERM or SIGINT (the default)')
  .action(() => serve(process.env))

addConfig(program)
addGc(program)
addWhy(program)
addVerify(program)
addRepository(program)
addHtpasswd(program)
addPolicy(program)
addToken(program)

// Whoever reads what a command writes may have seen enough, as `head` has: that is no crash.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.exit(FAILED)
})

try {
  await program.parseAsync()
} catch (error) {
  // It has said what is wrong, or has shown what was asked for.
  if (error instanceof CommanderError) process.exit(error.exitCode === 0 ? 0 : MISUSED)
  const forOperator = [ConfigError, StartError, CommandError].some(kind => error instanceof kind)
  console.error(forOperator ? (error as Error).message : error)
  process.exit(FAILED)
}
