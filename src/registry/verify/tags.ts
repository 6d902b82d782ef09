import { grouped, unnamed } from '../gc/listing.ts'
import {
  allTaggedOf,
  manifestsOf,
  parseFolderDigest,
  parseTagged,
  parseTagKey,
  parseTagOfValue,
  recordsOf,
  type TagKey,
  taggedKey,
  tagsOf
} from '../keys.ts'
import { type Check, keysOf, SETTLED_MS } from './check.ts'

interface Tag {
  tag: string
  /** Newest first. */
  values: TagKey[]
  /** Of the newest value, in ms. */
  ageMs: number
}

/** Looks whether every tag has its manifest and its reverse, and every reverse its tag. */
export async function checkTags(check: Check, name: string): Promise<void> {
  const { batch } = check
  const each = (prefix: string, read: (key: string) => string) =>
    async function* (): AsyncGenerator<string> {
      for await (const { key } of keysOf(check, name, prefix)) yield read(key)
    }
  const manifests = each(manifestsOf(name), parseFolderDigest)
  const reverses = each(allTaggedOf(name), key => key)
  const values = each(tagsOf(name), key => reverseOf(name, parseTagOfValue(key), parseTagKey(key)))

  for await (const tags of unnamed(
    tagsOfRepository(check, name, ({ values: [first] }) => first!.digest),
    manifests,
    batch
  )) {
    for (const tag of tags) await tellDangling(check, name, tag)
  }
  const byReverse = tagsOfRepository(check, name, ({ tag, values: [first] }) => reverseOf(name, tag, first!))
  for await (const tags of unnamed(byReverse, reverses, batch)) {
    for (const tag of tags) await tellUnreversed(check, name, tag)
  }
  for await (const keys of unnamed(oldReverses(check, name), values, batch)) {
    for (const key of keys) await tellReverse(check, name, key)
  }
}

const reverseOf = (name: string, tag: string, { digest, nonce }: TagKey): string => taggedKey(name, digest, tag, nonce)

async function* tagsOfRepository(
  check: Check,
  name: string,
  idOf: (tag: Tag) => string
): AsyncGenerator<[string, Tag]> {
  for await (const [tag, keys] of grouped(keysOf(check, name, tagsOf(name)), ({ key }) => parseTagOfValue(key))) {
    const found = { tag, values: keys.map(({ key }) => parseTagKey(key)), ageMs: keys[0]!.ageMs }
    yield [idOf(found), found]
  }
}

/** The collector's rule: what is younger than the grace is left alone. */
async function tellDangling(check: Check, name: string, { tag, values, ageMs }: Tag): Promise<void> {
  const { storage, registry, graceMs } = check
  const { digest } = values[0]!
  if (ageMs < SETTLED_MS || !(await storage.stat(values[0]!.key))) return
  if ((await storage.list(recordsOf(name, digest), { limit: 1 })).length > 0) return
  const mend = ageMs > graceMs ? () => registry.tags.drop(name, tag, values) : undefined
  await check.found({ kind: 'tag-dangling', repository: name, digest, tag, message: 'its manifest is not there' }, mend)
}

async function tellUnreversed(check: Check, name: string, { tag, values }: Tag): Promise<void> {
  const { storage } = check
  const reverse = reverseOf(name, tag, values[0]!)
  if ((await storage.stat(reverse)) || !(await storage.stat(values[0]!.key))) return
  const message = 'a deletion of its manifest would not find this tag'
  await check.found({ kind: 'reverse-missing', repository: name, digest: values[0]!.digest, tag, message }, () =>
    storage.put(reverse, Buffer.alloc(0), { ifAbsent: true })
  )
}

async function* oldReverses(check: Check, name: string): AsyncGenerator<[string, string]> {
  for await (const { key, ageMs } of keysOf(check, name, allTaggedOf(name))) {
    if (ageMs > check.graceMs) yield [key, key]
  }
}

async function tellReverse(check: Check, name: string, key: string): Promise<void> {
  const message = 'the reverse of a tag that is not there'
  const [digest, tag] = [parseFolderDigest(key), parseTagged(key)]
  await check.found({ kind: 'reverse-dangling', repository: name, digest, tag, message }, () =>
    check.storage.delete([key])
  )
}
