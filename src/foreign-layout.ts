import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Config } from './config.ts'

/** What CNCF Distribution keeps everything below. */
const DISTRIBUTION = 'docker/registry/v2'

/** A sentence where the folder holds content of CNCF Distribution, which would look like an empty registry. */
export async function foreignLayout({ s3, storagePath }: Config): Promise<string | undefined> {
  if (s3) return undefined
  const found = await stat(join(storagePath, DISTRIBUTION)).catch(() => undefined)
  if (!found?.isDirectory()) return undefined
  return (
    `${storagePath} holds content of CNCF Distribution (${DISTRIBUTION}), which this registry can't read: ` +
    'docs/moving-in.md says how to copy it over from a running one'
  )
}
