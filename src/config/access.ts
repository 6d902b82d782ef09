import { readFileSync } from 'node:fs'
import { type Htpasswd, parseHtpasswd } from '../access/htpasswd.ts'
import type { Reader } from './reader.ts'

/** Who may use the registry. */
export interface AccessSettings {
  /** Users and passwords. */
  htpasswdFile?: string | undefined
  /** What clients may do that have not logged in. */
  anonymous: 'none' | 'pull'
}

/** Reads the settings of access control; undefined: there is none, and everybody may do everything. */
export function readAccess({ read, isSet, problems }: Reader): AccessSettings | undefined {
  const htpasswdFile = read('AUTH_HTPASSWD_FILE')
  const anonymous = read('AUTH_ANONYMOUS')
  if (htpasswdFile !== undefined) problems.push(...problemsOf(() => readHtpasswd(htpasswdFile)))
  if (anonymous === 'none' && !isSet('AUTH_HTPASSWD_FILE')) {
    problems.push('AUTH_ANONYMOUS is "none", and nobody could log in; allowed: together with AUTH_HTPASSWD_FILE')
  }
  if (htpasswdFile === undefined && anonymous === undefined) return undefined
  return { htpasswdFile, anonymous: anonymous ?? 'none' }
}

/** Throws an Error with one line for the operator where the file can't be used. */
export function readHtpasswd(path: string): Htpasswd {
  return readAs('AUTH_HTPASSWD_FILE', path, 'lines of USER:HASH with bcrypt hashes', parseHtpasswd)
}

function readAs<T>(name: string, path: string, allowed: string, parse: (text: string) => T): T {
  try {
    return parse(readFileSync(path, 'utf8'))
  } catch (error) {
    const { message, code } = error as NodeJS.ErrnoException
    const what = code === undefined ? message : `it can't be read (${code})`
    throw new Error(`${name} is ${JSON.stringify(path)}: ${what}; allowed: ${allowed}`)
  }
}

function problemsOf(read: () => unknown): string[] {
  try {
    read()
    return []
  } catch (error) {
    return [(error as Error).message]
  }
}
