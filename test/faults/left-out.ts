import type { LogEntry } from './cuts.ts'

/** An fsync that a power cut would tell the lack of: of files or of folders, by the path that they were opened by. */
export interface Sync {
  name: string
  path: RegExp
}

export const syncs: readonly Sync[] = [
  { name: 'the bytes of an upload', path: /^(tmp|uploads)\/[^/]+\/[^/]+$/ },
  { name: 'the bytes of a small object', path: /^tmp\/[^/]+$/ },
  { name: 'the folder of a content', path: /^content\/[^/]+$/ },
  { name: 'the folder of an open upload', path: /^uploads\/[^/]+$/ },
  { name: 'the folder of the open uploads', path: /^uploads$/ },
  { name: 'the folder of a link to a blob', path: /\/_blobs\/[^/]+\/[^/]+$/ },
  { name: 'the folder of a manifest', path: /\/_manifests\/[^/]+\/[^/]+$/ },
  { name: 'the folder of a tag', path: /\/_tags\/[^/]+$/ },
  { name: 'the folder of a referrer', path: /\/_referrers\/[^/]+\/[^/]+$/ },
  { name: 'the folder of the catalog', path: /^catalog$/ },
  { name: 'the folders above a repository', path: /^repositories(\/[a-z][^/]*)*$/ },
  { name: 'the folders within a repository', path: /\/_[a-z]+(\/sha256)?$/ }
]

/** The log of a program that leaves this fsync out. */
export function leaveOut(log: readonly LogEntry[], { path }: Sync): LogEntry[] {
  const files = new Set<number>()
  const left = new Set<number>()
  return log.filter(one => {
    if (one.kind !== 'step') return true
    const { step } = one
    if (step.kind === 'open' && path.test(step.path)) files.add(step.file)
    if (step.kind === 'sync begins' && files.has(step.file)) left.add(step.sync)
    return !((step.kind === 'sync begins' || step.kind === 'sync ends') && left.has(step.sync))
  })
}
