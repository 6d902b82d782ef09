import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

export const top = resolve(import.meta.dirname, '../..')

type Command = readonly [program: string, ...args: string[]]

const source: Command = [process.execPath, '--import', import.meta.resolve('tsx'), join(top, 'src/cli.ts')]
// tap has all that a test starts load a part of tap, by NODE_OPTIONS. That takes longer than the program itself.
const built: Command = ['/usr/bin/env', '-u', 'NODE_OPTIONS', process.execPath, join(top, 'dist/src/cli.js')]

/**
 * What starts the command line. `npm test` builds it first, for it starts in a third of the time then; a file that is run
 * by itself takes the source, so that what was built before the last change is never tested.
 */
export const cli: Command = process.env.TEST_CLI === 'built' ? built : source

/** Puts a program into a folder that commands of a document find before all others. */
export function placeProgram(folder: string, name: string, script: string): void {
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`)
  chmodSync(join(folder, name), 0o755)
}
