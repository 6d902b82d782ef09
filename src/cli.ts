#!/usr/bin/env node
import { Command } from 'commander'
import { addGc } from './cli/gc.ts'
import { addHtpasswd } from './cli/htpasswd.ts'
import { addPolicy } from './cli/policy.ts'
import { addRepository } from './cli/repository.ts'
import { CommandError } from './cli/store.ts'
import { addVerify } from './cli/verify.ts'
import { addWhy } from './cli/why.ts'
import { variablesText } from './config/schema.ts'
import { ConfigError, configWarnings, loadConfig } from './config.ts'
import { StartError, serve } from './server.ts'
import { version } from './version.ts'

const program = new Command('marina-distribution')
  .description('A registry for container images and every other OCI artifact.')
  .version(version)
  .addHelpText('after', `\nEnvironment variables (docs/configuration.md tells more):\n${variablesText()}`)

program
  .command('serve', { isDefault: true })
  .description('run the registry until SIGTERM or SIGINT (the default)')
  .action(() => serve(process.env))

program
  .command('config')
  .description('look at the configuration')
  .command('check')
  .description('tell every problem of the environment variables; exit code 1 if there is one')
  .action(checkConfig)

addGc(program)
addWhy(program)
addVerify(program)
addRepository(program)
addHtpasswd(program)
addPolicy(program)

try {
  await program.parseAsync()
} catch (error) {
  const forOperator = [ConfigError, StartError, CommandError].some(kind => error instanceof kind)
  console.error(forOperator ? (error as Error).message : error)
  process.exit(1)
}

function checkConfig(): void {
  loadConfig(process.env)
  for (const warning of configWarnings(process.env)) console.error(warning)
  console.log('configuration is good')
}
