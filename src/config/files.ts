import { readFileSync } from 'node:fs'

/** Reads a file that a variable names. Throws an Error with one line for the operator where it can't be used. */
export function readAs<T>(name: string, path: string, allowed: string, parse: (text: string) => T): T {
  try {
    return parse(readFileSync(path, 'utf8'))
  } catch (error) {
    const { message, code } = error as NodeJS.ErrnoException
    // Errors of files have a name of the system's; others say themselves what is wrong.
    const what = /^E[A-Z0-9]+$/.test(code ?? '') ? `it can't be read (${code})` : message
    const known = what.includes('; allowed: ') ? '' : `; allowed: ${allowed}`
    throw new Error(`${name} is ${JSON.stringify(path)}: ${what}${known}`)
  }
}

export function problemsOf(read: () => unknown): string[] {
  try {
    read()
    return []
  } catch (error) {
    return [(error as Error).message]
  }
}
