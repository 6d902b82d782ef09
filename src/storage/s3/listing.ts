import { ListObjectsV2Command } from '@aws-sdk/client-s3'
import { type ListEntry, type ListOptions, StorageError } from '../driver.ts'
import type { Bucket } from './bucket.ts'
import { isReserved } from './reserved.ts'

/** S3's own limit to a page. */
const PAGE = 1000
/** Sorts after every character of a key: skips what lies under a prefix. */
const PAST = '\x7f'

/** Entries of the bucket in byte order, without what is the driver's own. */
export async function list(bucket: Bucket, prefix: string, options: ListOptions = {}): Promise<ListEntry[]> {
  const { limit = Number.POSITIVE_INFINITY, ages = false } = options
  const entries: ListEntry[] = []
  if (limit === 0) return entries
  for await (const entry of pages(bucket, prefix, options)) {
    if (isReserved(entry.key)) continue
    entries.push(ages ? entry : { key: entry.key })
    if (entries.length >= limit) break
  }
  return entries
}

/** With ages on every key. A page that fits in one answer costs one request wherever it starts. */
export async function* pages(
  bucket: Bucket,
  prefix: string,
  { after, limit = Number.POSITIVE_INFINITY, folders = false }: ListOptions
): AsyncGenerator<ListEntry> {
  const start = startOf(prefix, after, folders)
  if (start === 'past the end') return
  const { Bucket, Key: Prefix } = bucket.at(prefix)
  let left = limit
  for (let token: string | undefined; ; ) {
    const page = await bucket.client.send(
      new ListObjectsV2Command({
        Bucket,
        Prefix,
        MaxKeys: left > 0 ? Math.min(left, PAGE) : PAGE, // more than wanted where some were passed over
        ...(folders && { Delimiter: '/' }),
        ...(token && { ContinuationToken: token }),
        ...(start && !token && { StartAfter: bucket.at(start).Key })
      })
    )
    const now = bucket.now()
    const found: ListEntry[] = [
      ...(page.Contents ?? []).map(({ Key = '', LastModified }) => ({
        key: bucket.keyOf(Key),
        ageMs: bucket.ageMs(LastModified, now)
      })),
      ...(page.CommonPrefixes ?? []).map(({ Prefix = '' }) => ({ key: bucket.keyOf(Prefix) }))
    ]
    if (folders) found.sort((a, b) => (a.key < b.key ? -1 : 1))
    yield* found
    left -= found.length
    const next = page.IsTruncated ? page.NextContinuationToken : undefined
    if (!next) return
    if (next === token) throw new StorageError('failed', `${Bucket}: S3 answers the same page of a listing again`)
    token = next
  }
}

/**
 * The key to start after. Some servers answer nothing for one that is not below the prefix. One in a folder that is
 * listed as one entry is past that whole folder.
 */
function startOf(prefix: string, after: string | undefined, folders: boolean): string | undefined | 'past the end' {
  if (!after) return undefined
  if (after.endsWith('/') && prefix.startsWith(after)) return 'past the end'
  if (!after.startsWith(prefix)) return after < prefix ? undefined : 'past the end'
  const slash = folders ? after.indexOf('/', prefix.length) : after.length - 1
  const folder = slash >= 0 ? after.slice(0, slash + 1) : after
  return folder.endsWith('/') ? folder + PAST : after
}
