import { createHash, randomBytes } from 'node:crypto'
import { type Digest, parseDigest } from './digest.ts'

/*
 * Every key of the store is spelled here and nowhere else; `test/registry/keys.test.ts` pins them, because they are the
 * format that users' folders and buckets are in.
 *
 *   content/<2 hex>/<id>                                             bytes of one finished upload
 *   repositories/<name>/_blobs/<alg>/<hex>/<nonce>.<content>.<size>  "this repository holds this blob": a link
 *   repositories/<name>/_manifests/<alg>/<hex>/<inverted seq>.<nonce>.<size>    one header line, then the exact bytes pushed
 *   repositories/<name>/_tags/<tag>!/<inverted seq>.<nonce>.<alg>-<hex>   the first key is the tag's digest
 *   repositories/<name>/_tagged/<alg>/<hex>/<tag>.<nonce>            reverse of the above
 *   repositories/<name>/_referrers/<alg>/<hex>/<type>.<alg>-<hex>.<nonce>.<size>   the referrer's descriptor
 *   digests/<alg>/<2 hex>/<hex>                                      {content, size}: where equal bytes may lie
 *   catalog/<name with - . / as ! ( )>                               the repositories, in the order of their names
 *   ended/<2 hex>/<session>                                          how an upload session ended
 *   gc/orphans/<2 hex>/<content>                                     content that lost a link: its digest, later `gone`
 *   claims/<2 hex>/<SHA-256 of name and tag>                          a push is giving an immutable tag its first value
 *   gc/lease                                                         which collector works
 *   system/<name>                                                    signing keys
 *   system/robots/<SHA-256 of a token>                               whose it is and what it may do
 *   system/uses/<SHA-256 of a token>.<day>                           when it was last used
 *   system/token-keys/<number>                                       keys for tokens, one after the other
 *
 * No component of a repository's name begins with `_`, so `_blobs` and the rest can't be mistaken for one. What can
 * change is a set of keys, each never rewritten: the thing is there while any key is.
 */

/** Ends a tag's folder. It sorts before every character of a tag, so folders come in the order of the tags: with a bare
 * `/`, which sorts after `-` and `.`, a listing would put `v1-rc` before `v1`. */
const TAG_END = '!'
const SEQ_MAX = 2 ** 48 - 1
/** The higher the number, the earlier it sorts. */
const inverted = (seq: number): string => (SEQ_MAX - seq).toString(16).padStart(12, '0')
const seqOf = (inverted: string): number => SEQ_MAX - Number.parseInt(inverted, 16)

export interface BlobLink {
  key: string
  content: string
  size: number
}

export interface TagKey {
  key: string
  seq: number
  nonce: string
  digest: Digest
}

/** A name that no other key of its folder has. Lower-case hex: it must differ on a folder that ignores case, too. */
export const nonce = (): string => randomBytes(8).toString('hex')

const lastPart = (key: string): string => key.slice(key.lastIndexOf('/') + 1)
const folder = (digest: Digest): string => digest.replace(':', '/')
const flat = (digest: Digest): string => digest.replace(':', '-')
const unflat = (text: string): Digest => parseDigest(text.replace('-', ':'))
const REPOSITORIES = 'repositories/'
const inRepository = (name: string): string => `${REPOSITORIES}${name}/`

/** Holds, as folders, the longer paths that begin with this one and, if it is a repository, its own parts. */
export const pathFolder = (path: string): string => (path === '' ? REPOSITORIES : inRepository(path))
/** The path that a folder of `pathFolder` stands for; undefined: it is a part of the repository. */
export function parsePathFolder(key: string): string | undefined {
  const path = key.slice(REPOSITORIES.length, -1)
  return lastPart(path).startsWith('_') ? undefined : path
}
/** In the order of these a listing of the repositories' folders comes upon them. */
export const placeOf = (name: string): string => `${inRepository(name)}_`
/** All that a repository holds lies under one of these. */
export const partsOf = (name: string): string[] =>
  [blobsOf, manifestsOf, tagsOf, allTaggedOf, allReferrersOf].map(part => part(name))

const FOLDER_DIGEST = '(?:sha256/[0-9a-f]{64}|sha512/[0-9a-f]{128})'
const FLAT_DIGEST = '(?:sha256-[0-9a-f]{64}|sha512-[0-9a-f]{128})'
const TAG = '[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}'
const FORMS = [
  `_blobs/${FOLDER_DIGEST}/\\w+\\.[\\w-]+\\.\\d+`,
  `_manifests/${FOLDER_DIGEST}/[0-9a-f]{12}\\.\\w+(?:\\.\\d+)?`,
  `_tags/${TAG}${TAG_END}/[0-9a-f]{12}\\.\\w+\\.${FLAT_DIGEST}`,
  `_tagged/${FOLDER_DIGEST}/${TAG}\\.\\w+`,
  `_referrers/${FOLDER_DIGEST}/[0-9a-f]{32}\\.${FLAT_DIGEST}\\.\\w+\\.\\d+`,
  `_referrers/${FOLDER_DIGEST}/${FLAT_DIGEST}\\.\\w+` // of version 0.1
]
const FORM = new RegExp(`^(?:${FORMS.join('|')})$`)
/** Whether a key below one of `partsOf` is spelled as in this file: anyone may put a file into a folder. */
export const isOurs = (name: string, key: string): boolean => FORM.test(key.slice(inRepository(name).length))

/** The digest in whose folder a key is: a link, a record, a tag's reverse, or a referrer (then it is the subject's). */
export function parseFolderDigest(key: string): Digest {
  const [algorithm, hex] = key.split('/').slice(-3)
  return parseDigest(`${algorithm}:${hex}`)
}

export const CONTENTS = 'content/'
export const contentKey = (id: string): string => `${CONTENTS}${id.slice(0, 2)}/${id}`
export const parseContentKey = lastPart

export const blobsOf = (name: string): string => `${inRepository(name)}_blobs/`
export const linksOf = (name: string, digest: Digest): string => `${blobsOf(name)}${folder(digest)}/`
export const linkKey = (name: string, digest: Digest, content: string, size: number): string =>
  `${linksOf(name, digest)}${nonce()}.${content}.${size}`
export function parseLink(key: string): BlobLink {
  const end = key.lastIndexOf('.')
  return { key, content: key.slice(key.lastIndexOf('.', end - 1) + 1, end), size: Number(key.slice(end + 1)) }
}

export const manifestsOf = (name: string): string => `${inRepository(name)}_manifests/`
export const recordsOf = (name: string, digest: Digest): string => `${manifestsOf(name)}${folder(digest)}/`
/** The first one says what the manifest is served as. Ages don't tell: a bucket's are whole seconds. */
export const recordKey = (name: string, digest: Digest, seq: number, size: number): string =>
  `${recordsOf(name, digest)}${inverted(seq)}.${nonce()}.${size}`
/** The size of the manifest in bytes; 0 for a record of an early version, whose key does not tell. */
export const parseRecordSize = (key: string): number => Number(lastPart(key).split('.')[2] ?? 0)
export const parseRecordSeq = (key: string): number => seqOf(lastPart(key).split('.')[0] ?? '')

export const tagsOf = (name: string): string => `${inRepository(name)}_tags/`
export const tagFolder = (name: string, tag: string): string => `${tagsOf(name)}${tag}${TAG_END}/`
/** Never written. To delete it takes the tag's folder away where a crash left that empty: it would be listed for ever. */
export const noTagKey = (name: string, tag: string): string => `${tagFolder(name, tag)}none`
/** The tag that a folder of `tagsOf` stands for. */
export const parseTagFolder = (key: string): string =>
  key.slice(key.lastIndexOf('/', key.length - 2) + 1, -1 - TAG_END.length)
/** The tag that a value is of. */
export const parseTagOfValue = (key: string): string => parseTagFolder(key.slice(0, key.lastIndexOf('/') + 1))
export function tagKey(name: string, tag: string, seq: number, nonce: string, digest: Digest): string {
  return `${tagFolder(name, tag)}${inverted(seq)}.${nonce}.${flat(digest)}`
}
export function parseTagKey(key: string): TagKey {
  // Every GET by tag comes here; `split` takes longer.
  const place = key.lastIndexOf('/') + 1
  const dot = key.indexOf('.', place)
  const last = key.lastIndexOf('.')
  return {
    key,
    seq: seqOf(key.slice(place, dot)),
    nonce: key.slice(dot + 1, last),
    digest: unflat(key.slice(last + 1))
  }
}

export const allTaggedOf = (name: string): string => `${inRepository(name)}_tagged/`
export const taggedOf = (name: string, digest: Digest): string => `${allTaggedOf(name)}${folder(digest)}/`
export const taggedKey = (name: string, digest: Digest, tag: string, nonce: string): string =>
  `${taggedOf(name, digest)}${tag}.${nonce}`
/** The tag that a key of `taggedOf` stands for: a tag may have dots, a nonce has none. */
export const parseTagged = (key: string): string => lastPart(key).slice(0, lastPart(key).lastIndexOf('.'))

export const allReferrersOf = (name: string): string => `${inRepository(name)}_referrers/`
export const referrersOf = (name: string, subject: Digest): string => `${allReferrersOf(name)}${folder(subject)}/`

/** What the key of a referrer tells of it. */
export interface ReferrerName {
  digest: Digest
  artifactType: string | undefined
}

const NO_TYPE = '0'.repeat(32)
/** Stands for an artifact type, so that a listing finds those of one type. A type itself may be of any length. */
const typeMark = (artifactType: string | undefined): string =>
  artifactType === undefined ? NO_TYPE : createHash('sha256').update(artifactType).digest('hex').slice(0, 32)

/** Begins every key of a subject's referrers of this type. */
export const referrersOfType = (name: string, subject: Digest, artifactType: string | undefined): string =>
  `${referrersOf(name, subject)}${typeMark(artifactType)}.`
/** Begins every key by which one manifest refers to a subject. */
export const referrerKeys = (name: string, subject: Digest, { digest, artifactType }: ReferrerName): string =>
  `${referrersOfType(name, subject, artifactType)}${flat(digest)}.`
/** @param size of the descriptor that the key holds, in bytes */
export const referrerKey = (name: string, subject: Digest, referrer: ReferrerName, size: number): string =>
  `${referrerKeys(name, subject, referrer)}${nonce()}.${size}`

/** Version 0.1 wrote `<alg>-<hex>.<nonce>`: no type and no size, so that these keys are not listed. */
export const isOldReferrer = (key: string): boolean => lastPart(key).startsWith('sha')
/** The beginning that a key has in common with the others by which the same manifest refers to the same subject. */
export const parseReferrerKeys = (key: string): string => {
  const end = key.lastIndexOf('.')
  return key.slice(0, (isOldReferrer(key) ? end : key.lastIndexOf('.', end - 1)) + 1)
}
export const parseReferrer = (key: string): Digest => unflat(lastPart(key).split('.')[isOldReferrer(key) ? 0 : 1] ?? '')
export const parseReferrerSize = (key: string): number => Number(key.slice(key.lastIndexOf('.') + 1))

/** Where a page of referrers ended, for the URL of the next one: of the last one's `parseReferrerKeys`. */
export const referrerPlace = (keys: string): string => lastPart(keys).slice(0, -1)
/** A key after which a page begins that follows on that place. Throws `digest-invalid` for a place that is none. */
export function afterReferrer(name: string, subject: Digest, place: string): string {
  const [mark = '', digest = ''] = place.split('.', 2)
  // `~` sorts after every nonce: the page begins behind all keys of that referrer.
  return `${referrersOf(name, subject)}${/^[0-9a-f]{32}$/.test(mark) ? mark : NO_TYPE}.${flat(unflat(digest))}.~`
}

export const HINTS = 'digests/'
export function hintKey(digest: Digest): string {
  const [algorithm, hex = ''] = digest.split(':')
  return `${HINTS}${algorithm}/${hex.slice(0, 2)}/${hex}`
}
/** The digest of a hint. Throws `digest-invalid` for a key that is none. */
export function parseHintKey(key: string): Digest {
  const [algorithm, , hex] = key.slice(HINTS.length).split('/')
  return parseDigest(`${algorithm}:${hex}`)
}

export const CATALOG = 'catalog/'
// A flat name, and one that sorts as the repository's own does: `- . /` come before the digits, as `! ( )` do.
const FLAT: Record<string, string> = { '-': '!', '.': '(', '/': ')' }
const UNFLAT: Record<string, string> = { '!': '-', '(': '.', ')': '/' }
export const catalogKey = (name: string): string => CATALOG + name.replace(/[-./]/g, c => FLAT[c]!)
export const parseCatalogKey = (key: string): string => key.slice(CATALOG.length).replace(/[!()]/g, c => UNFLAT[c]!)

export const ENDED = 'ended/'
export const endedKey = (session: string): string => `${ENDED}${session.slice(0, 2)}/${session}`
export const TAG_CLAIMS = 'claims/'
/** Hashed: names that differ in case only must not meet on a folder that ignores case. */
export function tagClaimKey(name: string, tag: string): string {
  const hash = createHash('sha256').update(`${name}:${tag}`).digest('hex')
  return `${TAG_CLAIMS}${hash.slice(0, 2)}/${hash}`
}
export const ORPHANS = 'gc/orphans/'
export const orphanKey = (content: string): string => `${ORPHANS}${content.slice(0, 2)}/${content}`
export const parseOrphanKey = lastPart
export const GC_LEASE = 'gc/lease'
export const systemKey = (name: string): string => `system/${name}`
/** Prefixes of the keys that hold secrets: those that sign uploads and tokens, and the hashes of robots' tokens. */
export const SECRETS: readonly string[] = [systemKey('')]
export const ROBOTS = systemKey('robots/')
export const robotKey = (tokenHash: string): string => ROBOTS + tokenHash
export const parseRobotKey = lastPart
/** Begins every key that tells of a day on which a token was used. */
export const usesOfRobot = (tokenHash: string): string => systemKey(`uses/${tokenHash}.`)
export const robotUseKey = (tokenHash: string, day: string): string => usesOfRobot(tokenHash) + day
export const TOKEN_KEYS = systemKey('token-keys/')
export const tokenKeyKey = (number: number): string => `${TOKEN_KEYS}${String(number).padStart(8, '0')}`
export const parseTokenKeyNumber = (key: string): number => Number(lastPart(key))
