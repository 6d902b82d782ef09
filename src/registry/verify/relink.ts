import { parseHint } from '../blobs.ts'
import type { Digest } from '../digest.ts'
import { entries, repositoryNames } from '../gc/listing.ts'
import { type BlobLink, blobsOf, hintKey, isOurs, linksOf, parseFolderDigest, parseLink } from '../keys.ts'
import { type Check, keysOf, wantedNames } from './check.ts'
import type { Bad } from './contents.ts'

/** A content that some repository links by the same digest. */
interface Other extends Pick<BlobLink, 'content' | 'size'> {
  repository: string
}

type IsWhole = (content: string, digest: Digest, size: number) => Promise<boolean>

/** Tells which blobs bad contents are, and links each anew where another repository has the same bytes whole. */
export function createMender(check: Check, isWhole: IsWhole): { tell(bad: Bad): Promise<void> } {
  const { storage, registry, orphans, graceMs } = check

  async function tell(bad: Bad): Promise<void> {
    const others = check.repair ? await othersOf(check, bad) : new Map<Digest, Other[]>()
    const whole = memoized(isWhole)
    for (const [content, verdicts] of bad) {
      for (const [digest, { size }] of verdicts) if (size === undefined) await tellHint(digest, content)
    }
    for await (const name of wantedNames(check)) {
      for await (const { key } of keysOf(check, name, blobsOf(name))) {
        const [digest, link] = [parseFolderDigest(key), parseLink(key)]
        const verdict = bad.get(link.content)?.get(digest)
        if (!verdict || verdict.size === link.size) continue
        const { kind, message, size } = verdict
        const better = size === undefined ? (others.get(digest) ?? []) : [{ ...link, repository: name, size }]
        await check.found({ kind, message, repository: name, digest }, () => relink(name, digest, key, better, whole))
      }
    }
  }

  /** Nobody is to share bad bytes from now on. */
  async function tellHint(digest: Digest, content: string): Promise<void> {
    if (parseHint((await storage.get(hintKey(digest)))?.bytes)?.content !== content) return
    check.toldHints.add(digest)
    await check.found({ kind: 'hint-wrong', digest, message: 'the hint leads to bytes that are not whole' }, () =>
      registry.blobs.dropHint(digest, content)
    )
  }

  /** False: nobody has the bytes. */
  async function relink(name: string, digest: Digest, bad: string, better: Other[], whole: IsWhole): Promise<boolean> {
    for (const other of better) {
      if (!(await whole(other.content, digest, other.size)) || !(await rely(digest, other))) continue
      await registry.blobs.link(name, digest, other.content, other.size)
      await orphans.unlink([bad])
      return true
    }
    return false
  }

  /** As whoever mounts a blob does (docs/storage.md, "Relying"), but on this content. False: the link is gone. */
  async function rely(digest: Digest, { repository, content, size }: Other): Promise<boolean> {
    const links = await storage.list(linksOf(repository, digest), { ages: true })
    const ages = links.flatMap(({ key, ageMs = 0 }) => (parseLink(key).content === content ? [ageMs] : []))
    if (ages.length === 0) return false
    if (Math.min(...ages) >= graceMs / 2) await registry.blobs.link(repository, digest, content, size)
    return true
  }

  return { tell }
}

/** A content that many repositories link is read once for all of them. */
function memoized(isWhole: IsWhole): IsWhole {
  const known = new Map<string, Promise<boolean>>()
  return (content, digest, size) => {
    const id = `${content} ${digest} ${size}`
    const answer = known.get(id) ?? isWhole(content, digest, size)
    known.set(id, answer)
    return answer
  }
}

/** Where else, in any repository, there should be the bytes of bad contents. */
async function othersOf(check: Check, bad: Bad): Promise<Map<Digest, Other[]>> {
  const others = new Map<Digest, Other[]>(
    [...bad.values()].flatMap(verdicts => [...verdicts.keys()]).map(digest => [digest, []])
  )
  for await (const name of repositoryNames(check)) {
    for await (const { key } of entries(check, blobsOf(name))) {
      if (!isOurs(name, key)) continue
      const { content, size } = parseLink(key)
      const digest = parseFolderDigest(key)
      const known = others.get(digest)
      if (!known || bad.get(content)?.has(digest) || known.some(other => other.content === content)) continue
      known.push({ repository: name, content, size })
    }
  }
  return others
}
