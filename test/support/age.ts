import { readdir, stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'

/** Makes everything in a folder older, in ms. */
export async function age(path: string, ms: number): Promise<void> {
  for (const name of await readdir(path, { recursive: true })) {
    const time = ((await stat(join(path, name))).mtimeMs - ms) / 1000
    await utimes(join(path, name), time, time)
  }
}
