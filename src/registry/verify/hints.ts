import { parseHint } from '../blobs.ts'
import { algorithmOf, type Digest } from '../digest.ts'
import { batches, entries, repositoryNames } from '../gc/listing.ts'
import { blobsOf, contentKey, HINTS, hintKey, parseFolderDigest, parseHintKey, parseLink } from '../keys.ts'
import { parallel } from '../parallel.ts'
import { type Check, keysOf, WIDTH } from './check.ts'
import { isWhole } from './contents.ts'

interface Hint {
  digest: Digest
  content: string
  size: number
}

/**
 * Looks whether hints lead to contents that links know by the same digest. A wrong one would make a blob of other bytes
 * than were pushed; one that is gone costs a copy of the bytes.
 */
export async function checkHints(check: Check): Promise<void> {
  for await (const batch of batches(entries(check, HINTS), check.batch)) {
    const read = await parallel(batch, WIDTH, ({ key }) => readHint(check, key))
    check.report.hints += batch.length
    for (const { digest, content, size } of await doubtful(
      check,
      read.flatMap(hint => hint ?? [])
    )) {
      if (await isWhole(check, content, digest, size)) continue
      await tellWrong(check, digest, 'the hint leads to other bytes')
    }
  }
}

/** Those whose content is linked by another digest. */
async function doubtful(check: Check, hints: Hint[]): Promise<Set<Hint>> {
  const byContent = new Map<string, Hint[]>()
  for (const hint of hints) byContent.set(hint.content, [...(byContent.get(hint.content) ?? []), hint])
  const found = new Set<Hint>()
  for await (const name of repositoryNames(check)) {
    for await (const { key } of keysOf(check, name, blobsOf(name))) {
      const linked = parseFolderDigest(key)
      for (const hint of byContent.get(parseLink(key).content) ?? []) {
        if (hint.digest !== linked && algorithmOf(hint.digest) === algorithmOf(linked)) found.add(hint)
      }
    }
  }
  return found
}

/** Undefined: it leads nowhere. */
async function readHint(check: Check, key: string): Promise<Hint | undefined> {
  const { storage } = check
  const digest = digestOfHint(key)
  if (!digest) {
    await check.found({ kind: 'key-unknown', message: `${JSON.stringify(key)} is no key that the registry writes` })
    return undefined
  }
  const bytes = (await storage.get(key))?.bytes
  if (!bytes) return undefined
  const hint = parseHint(bytes)
  const stored = hint && (await storage.stat(contentKey(hint.content)))
  if (hint && stored?.size === hint.size) return { digest, ...hint }
  // It goes right after its content, which may have been just now.
  if ((await storage.get(key))?.bytes.equals(bytes)) {
    await tellWrong(check, digest, hint ? 'the hint leads to no content of its size' : 'the hint is torn')
  }
  return undefined
}

function digestOfHint(key: string): Digest | undefined {
  try {
    const digest = parseHintKey(key)
    return hintKey(digest) === key ? digest : undefined
  } catch {
    return undefined
  }
}

async function tellWrong(check: Check, digest: Digest, message: string): Promise<void> {
  if (check.toldHints.has(digest)) return
  await check.found({ kind: 'hint-wrong', digest, message }, () =>
    check.storage.delete([hintKey(digest)], { durable: false })
  )
}
