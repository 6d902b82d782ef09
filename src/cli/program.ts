import { Command } from 'commander'
import { variablesText } from '../config/schema.ts'
import { version } from '../version.ts'
import { addCompletion } from './completion.ts'
import { addConfig } from './config.ts'
import { addGc } from './gc.ts'
import { addHtpasswd } from './htpasswd.ts'
import { addPolicy } from './policy.ts'
import { addRepository } from './repository.ts'
import { addToken } from './token.ts'
import { addUploads } from './uploads.ts'
import { addVerify } from './verify.ts'
import { addWhy } from './why.ts'

/** The command line, with every command. */
export function createProgram(serve: () => Promise<void>): Command {
  const program = new Command('marina-distribution')
    // First, since commands take these over as they are added.
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(`${text.trim().replace(/\s*\n\s*/g, ' ')}\n`) })
    .description('A registry for container images and every other OCI artifact.')
    .version(version)
    .addHelpText('after', () => `\n${helpText()}`)
  program
    .command('serve', { isDefault: true })
    .description('run the registry until SIGTERM or SIGINT (the default)')
    .action(serve)
  addConfig(program)
  addGc(program)
  addWhy(program)
  addVerify(program)
  addRepository(program)
  addUploads(program)
  addHtpasswd(program)
  addPolicy(program)
  addToken(program)
  addCompletion(program)
  return program
}

function helpText(): string {
  const heading = 'Environment variables, their defaults and what they mean (docs/configuration.md explains each):'
  return `${heading}\n\n${variablesText()}`
}
