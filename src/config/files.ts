import { readFileSync } from 'node:fs'

/** Reads a file that a variable names. Throws an Error with one line for the operator where it can't be used. */
export function readAs<T>(name: string, path: string, allowed: string, parse: (text: string) => T): T {
  try {
    return parse(readFileSync(path, 'utf8'))
  } catch (error) {
    // Errors of files have a name of the system's; others say themselves what is wrong.
    const what = unreadable(error) ?? (error as Error).message
    const known = what.includes('; allowed: ') ? '' : `; allowed: ${allowed}`
    throw new Error(`${name} is ${JSON.stringify(path)}: ${what}${known}`)
  }
}

/** Why a file can't be read, in words for the operator; undefined for an error of another kind. */
export function unreadable(error: unknown): string | undefined {
  const { code = '' } = error as NodeJS.ErrnoException
  if (!/^E[A-Z0-9]+$/.test(code)) return undefined
  // Whoever sees the file as another user needs to know who the registry is.
  const who = code === 'EACCES' || code === 'EPERM' ? `, as user ${process.geteuid?.()}` : ''
  return `it can't be read (${code}${who})`
}

export function problemsOf(read: () => unknown): string[] {
  try {
    read()
    return []
  } catch (error) {
    return [(error as Error).message]
  }
}
