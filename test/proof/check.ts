import type { Claims, Thing } from './claims.ts'
import { needs, subjects } from './claims.ts'
import type { RepositoryView, View } from './view.ts'

/** What two keys written at about the same time are taken for: neither is surely the newer one. */
const GRAIN_MS = 2000

/**
 * What of all that was answered does not hold; undefined: all holds. What need not be there any more is forgotten.
 */
export function broken(claims: Claims, seen: View, now: number): string | undefined {
  return (
    brokenLink(seen) ??
    brokenManifest(claims, seen) ??
    brokenTag(claims, seen) ??
    brokenPresence(claims, seen, now) ??
    brokenAbsence(claims, seen)
  )
}

/** A link names content that is there, and that is the blob: who has found a link gets the bytes. */
function brokenLink({ repositories, contents }: View): string | undefined {
  for (const [name, { links }] of repositories) {
    for (const [blob, keys] of links) {
      for (const { content } of keys) {
        if (!contents.has(content)) return `a link of ${name}/${blob} names content that is not there`
        if (!contents.get(content)!.right) return `a link of ${name}/${blob} names other bytes`
      }
    }
  }
  return undefined
}

/** A manifest that can be pulled has its blobs, unless a client deleted one. */
function brokenManifest({ deletions }: Claims, { repositories }: View): string | undefined {
  for (const [name, { links, records }] of repositories) {
    if (deletions.get(`${name}/layer`)?.begun || links.has('layer')) continue
    for (const manifest of records.keys()) {
      if (needs[manifest]!.includes('layer')) return `${name}/${manifest} lacks its layer`
    }
  }
  return undefined
}

function brokenTag({ tags, shown, deletions }: Claims, { repositories }: View): string | undefined {
  const undisturbed = [...deletions.values()].every(({ begun }) => begun === 0)
  for (const [name, repository] of repositories) {
    for (const [tag, [first]] of repository.tags) {
      if (undisturbed && !repository.records.has(first!.names)) return `${name}:${tag} came before its manifest`
      const before = shown.get(`${name}:${tag}`)
      if (before !== undefined && first!.seq < before) return `${name}:${tag} shows an older value again`
      shown.set(`${name}:${tag}`, first!.seq)
    }
    for (const [tag, values] of repository.tags) {
      if (!hasReverse(repository, tag, values[0]!)) return `no reverse leads to ${name}:${tag}`
    }
    for (const tag of shown.keys()) {
      const [of, tagName] = tag.split(':')
      if (of === name && !repository.tags.has(tagName!)) shown.delete(tag)
    }
  }
  for (const [thing, { names, there }] of tags) {
    if (!there) continue
    const [name, tag] = thing.split(':') as [string, string]
    const { tags: values, records } = repositories.get(name)!
    const first = values.get(tag)?.[0]
    if (!first) return `the tag ${thing} is not there`
    if (!names.includes(`${name}/${first.names}`)) return `the tag ${thing} names ${first.names}, not ${names}`
    if (!records.has(first.names)) return `the tag ${thing} names ${first.names}, which is not there`
  }
  return undefined
}

const hasReverse = ({ reverses }: RepositoryView, tag: string, value: { nonce: string; names: string }): boolean =>
  reverses.some(reverse => reverse.tag === tag && reverse.nonce === value.nonce && reverse.names === value.names)

/** All that tags keep in a repository: what they name, what that lists, and what refers to any of it. */
export function keptBy({ tags }: RepositoryView): Set<string> {
  const kept = new Set<string>()
  const keep = (manifest: string): void => {
    if (kept.has(manifest)) return
    kept.add(manifest)
    for (const other of needs[manifest] ?? []) keep(other)
    for (const [referrer, subject] of Object.entries(subjects)) if (subject === manifest) keep(referrer)
  }
  for (const [first] of tags.values()) keep(first!.names)
  return kept
}

function brokenPresence({ present }: Claims, { repositories }: View, now: number): string | undefined {
  for (const [thing, until] of present) {
    const [name, what] = thing.split('/') as [string, string]
    const repository = repositories.get(name)!
    const kept = what !== 'layer' && keptBy(repository).has(what)
    if (until < now && !kept) present.delete(thing)
    else if (!isThere(repository, what)) return `${thing} is not there${kept ? ', though a tag keeps it' : ''}`
  }
  return undefined
}

function isThere({ links, records, referrers }: RepositoryView, what: string): boolean {
  if (what === 'layer') return links.has('layer')
  const whole = needs[what]!.every(other => (other === 'layer' ? links : records).has(other))
  return records.has(what) && whole && (subjects[what] === undefined || referrers.has(what))
}

function brokenAbsence({ absent }: Claims, { repositories }: View): string | undefined {
  for (const thing of absent) {
    const [, name = '', kind, what = ''] = /^(\w+)([/:])(\w+)$/.exec(thing as Thing) ?? []
    const { links, records, tags } = repositories.get(name)!
    if (kind === ':' ? tags.has(what) : what === 'layer' ? links.has(what) : records.has(what)) {
      return `${thing} is there, though it was deleted`
    }
    const shows = [...tags].find(([, [first]]) => kind === '/' && first!.names === what)
    if (shows) return `${name}:${shows[0]} names ${what}, which was deleted`
  }
  return undefined
}

/**
 * The keys that nothing justifies once collectors have run, and what is missing in the catalog. `untagged`: manifests
 * that no tag keeps are garbage, too. `expired`: upload sessions are. Hints may be stale, and are not looked at.
 */
export function garbage(seen: View, { untagged, expired }: { untagged: boolean; expired: boolean }): string[] {
  const { contents, orphans, ended, catalog, repositories, uploads } = seen
  const found = orphans.map(({ key }) => key)
  const linked = new Set<string>()
  for (const [name, repository] of repositories) {
    found.push(...garbageIn(repository, untagged))
    for (const keys of repository.links.values()) for (const { content } of keys) linked.add(content)
    const holds = repository.links.size > 0 || repository.records.size > 0
    const entered = catalog.some(entry => entry.repository === name)
    if (holds !== entered) found.push(`${name} in the catalog: ${entered}`)
  }
  for (const [content, { key }] of contents) if (!linked.has(content) && !uploads.includes(content)) found.push(key)
  if (expired) found.push(...ended.map(({ key }) => key), ...uploads)
  return found
}

function garbageIn(repository: RepositoryView, untagged: boolean): string[] {
  const { links, records, tags, reverses, referrers } = repository
  const found: string[] = []
  const kept = keptBy(repository)
  for (const [manifest, keys] of records) found.push(...surplus(keys, !untagged || kept.has(manifest)))
  for (const [blob, keys] of links) {
    found.push(
      ...surplus(
        keys,
        [...records.keys()].some(manifest => needs[manifest]?.includes(blob))
      )
    )
  }
  for (const [referrer, keys] of referrers) found.push(...surplus(keys, records.has(referrer)))
  for (const [first, ...over] of tags.values())
    found.push(...surplus([first!], records.has(first!.names)), ...over.map(({ key }) => key))
  for (const { key, tag, names, nonce } of reverses) {
    if (!tags.get(tag)?.some(value => value.nonce === nonce && value.names === names)) found.push(key)
  }
  return found
}

/** All of them, or those that a newer one surely stands for. */
function surplus(keys: { key: string; at: number }[], needed: boolean): string[] {
  const newest = Math.max(...keys.map(({ at }) => at))
  return keys.filter(({ at }) => !needed || newest - at > GRAIN_MS).map(({ key }) => key)
}
