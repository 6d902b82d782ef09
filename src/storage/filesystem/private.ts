import { chmod, lstat, opendir } from 'node:fs/promises'
import { join } from 'node:path'
import { codeOf, ignoreMissing } from './errors.ts'

/** What only the owner may read. */
export const PRIVATE_FILE = 0o600
export const PRIVATE_FOLDER = 0o700
const OTHERS = 0o077

/** Most files below one prefix whose modes are looked at; the mode of the folder keeps others out of them all. */
const LOOKED_AT = 1000

/** Tells of a path below `root` whether it is private, or a folder of what is. */
export function privatePaths(root: string, prefixes: readonly string[]): (path: string) => boolean {
  const folders = prefixes.map(prefix => join(root, prefix, '/'))
  return path => folders.some(folder => `${path}/`.startsWith(folder))
}

/**
 * Takes away what others than the owner may do with private files and folders that an older version, or a copy, has
 * left.
 *
 * @returns a sentence for the operator for each prefix where something was changed, or could not be
 */
export async function closePrivate(
  root: string,
  prefixes: readonly string[],
  { readOnly = false } = {}
): Promise<string[]> {
  if (process.platform === 'win32') return []
  const sentences: string[] = []
  for (const prefix of prefixes) {
    const folder = join(root, prefix.replace(/\/$/, ''))
    const opened = new Set<string>()
    const failures: string[] = []
    for await (const { path, mode } of below(folder)) {
      if ((mode & OTHERS) === 0) continue
      opened.add(path)
      const failure = readOnly ? 'the folder is only read' : await close(path, mode)
      if (failure !== undefined) failures.push(failure)
    }
    if (opened.size === 0) continue
    const what = `${folder} holds secrets that other users of this machine could read`
    sentences.push(
      failures.length === 0
        ? `${what}: its permissions were corrected; replace the secrets if others use this machine`
        : `${what}, and its permissions can't be corrected (${failures[0]}): run chmod -R go= ${folder} as its owner`
    )
  }
  return sentences
}

/** The folder and what is below it, each with its mode; no more than `left` allows. */
async function* below(path: string, left = { entries: LOOKED_AT }): AsyncGenerator<{ path: string; mode: number }> {
  const stat = await lstat(path).catch(ignoreHidden)
  if (stat?.isFile()) yield { path, mode: stat.mode }
  if (!stat?.isDirectory()) return
  yield { path, mode: stat.mode }
  const folder = await opendir(path).catch(ignoreHidden)
  if (!folder) return
  for await (const { name } of folder) {
    if (left.entries-- <= 0) return
    yield* below(join(path, name), left)
  }
}

/** For `catch`: what this user may not look into is another's, and closed to this one already. */
function ignoreHidden(error: unknown): undefined {
  return codeOf(error) === 'EACCES' ? undefined : ignoreMissing(error)
}

/** Why it could not be done; undefined: it was. Some file systems have no modes and report success. */
async function close(path: string, mode: number): Promise<string | undefined> {
  try {
    await chmod(path, mode & 0o700)
    const after = await lstat(path)
    return (after.mode & OTHERS) === 0 ? undefined : 'the file system keeps no permissions'
  } catch (error) {
    return codeOf(error) === 'ENOENT' ? undefined : codeOf(error)
  }
}
