import type { Digest } from '../../src/registry/digest.ts'
import {
  allReferrersOf,
  allTaggedOf,
  blobsOf,
  CATALOG,
  CONTENTS,
  ENDED,
  manifestsOf,
  ORPHANS,
  parseCatalogKey,
  parseContentKey,
  parseFolderDigest,
  parseLink,
  parseReferrer,
  parseTagged,
  parseTagKey,
  parseTagOfValue,
  tagsOf
} from '../../src/registry/keys.ts'
import type { MemoryState } from '../../src/storage/memory.ts'
import { LAYER, nameOf, REPOSITORIES } from './images.ts'

interface Key {
  key: string
  /** When it was written, in ms by the store's clock. */
  at: number
}

/** What a repository holds, by the names of the things. */
export interface RepositoryView {
  links: Map<string, (Key & { content: string })[]>
  records: Map<string, Key[]>
  /** Newest value first. */
  tags: Map<string, (Key & { seq: number; names: string; nonce: string })[]>
  reverses: (Key & { tag: string; names: string; nonce: string })[]
  referrers: Map<string, Key[]>
}

/** The store as the registry's readers would find it. */
export interface View {
  contents: Map<string, Key & { right: boolean }>
  orphans: Key[]
  ended: Key[]
  catalog: (Key & { repository: string })[]
  repositories: Map<string, RepositoryView>
  uploads: string[]
}

const named = (digest: Digest): string => nameOf(digest) ?? digest

function add<V>(map: Map<string, V[]>, name: string, value: V): void {
  const values = map.get(name)
  if (values) values.push(value)
  else map.set(name, [value])
}

/** Reads a store without asking it: what is there now, also while somebody is at work. */
export function view({ objects, uploads }: MemoryState): View {
  const all: View = {
    contents: new Map(),
    orphans: [],
    ended: [],
    catalog: [],
    repositories: new Map(),
    uploads: [...uploads.keys()]
  }
  for (const name of REPOSITORIES) {
    const empty = { links: new Map(), records: new Map(), tags: new Map(), reverses: [], referrers: new Map() }
    all.repositories.set(name, empty)
  }
  for (const key of [...objects.keys()].sort()) {
    const { bytes, at } = objects.get(key)!
    if (key.startsWith('repositories/')) viewPart(all.repositories.get(key.split('/')[1]!)!, key, at)
    else if (key.startsWith(CONTENTS)) all.contents.set(parseContentKey(key), { key, at, right: bytes.equals(LAYER) })
    else if (key.startsWith(ORPHANS)) all.orphans.push({ key, at })
    else if (key.startsWith(ENDED)) all.ended.push({ key, at })
    else if (key.startsWith(CATALOG)) all.catalog.push({ key, at, repository: parseCatalogKey(key) })
    else if (!/^(claims|digests|system)\//.test(key)) throw new Error(`no such key is known: ${key}`)
  }
  return all
}

function viewPart(repository: RepositoryView, key: string, at: number): void {
  const name = key.split('/')[1]!
  if (key.startsWith(blobsOf(name))) {
    add(repository.links, named(parseFolderDigest(key)), { key, at, content: parseLink(key).content })
  } else if (key.startsWith(manifestsOf(name))) {
    add(repository.records, named(parseFolderDigest(key)), { key, at })
  } else if (key.startsWith(tagsOf(name))) {
    const { seq, nonce, digest } = parseTagKey(key)
    add(repository.tags, parseTagOfValue(key), { key, at, seq, nonce, names: named(digest) })
  } else if (key.startsWith(allTaggedOf(name))) {
    const nonce = key.slice(key.lastIndexOf('.') + 1)
    repository.reverses.push({ key, at, tag: parseTagged(key), names: named(parseFolderDigest(key)), nonce })
  } else if (key.startsWith(allReferrersOf(name))) {
    add(repository.referrers, named(parseReferrer(key)), { key, at })
  } else throw new Error(`no such key is known: ${key}`)
}
