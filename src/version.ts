import { existsSync, readFileSync } from 'node:fs'

/** The package's version, from package.json: one folder up from the source, two up from what is built. */
export const version: string = readVersion()

function readVersion(): string {
  const source = new URL('../package.json', import.meta.url)
  const file = existsSync(source) ? source : new URL('../../package.json', import.meta.url)
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version
}
