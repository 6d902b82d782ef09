import type { Digest } from '../digest.ts'

export type FaultKind =
  /** A key that the registry has not written. */
  | 'key-unknown'
  /** A record whose bytes are not those of its digest, or that can't be read. */
  | 'manifest-damaged'
  /** A manifest needs what the repository does not have, or has in another size. */
  | 'blob-missing'
  | 'manifest-missing'
  | 'size-wrong'
  /** A tag, or a referrer, whose manifest is not there. */
  | 'tag-dangling'
  | 'referrer-dangling'
  /** What a tag is found by when its manifest is deleted. */
  | 'reverse-missing'
  | 'reverse-dangling'
  | 'referrer-missing'
  /** A referrer that tells something else than its manifest does. */
  | 'referrer-wrong'
  | 'catalog-missing'
  | 'catalog-empty'
  /** The bytes of a blob. */
  | 'content-missing'
  | 'content-damaged'
  | 'content-unreadable'
  /** A link that tells another size than its bytes have. */
  | 'link-wrong'
  /** Where equal bytes are said to lie. */
  | 'hint-wrong'

export interface Fault {
  kind: FaultKind
  repository?: string
  digest?: Digest
  tag?: string
  /** A clause that says what is wrong; it names no key of the store but for `key-unknown`. */
  message: string
  repaired: boolean
}

/** What one run came to. */
export interface VerifyReport {
  repositories: number
  manifests: number
  tags: number
  referrers: number
  /** Links to blobs. */
  links: number
  /** Contents that were read, each once however many repositories link it, and their bytes. */
  contents: number
  bytes: number
  hints: number
  faults: number
  repaired: number
  durationMs: number
}

export const emptyVerifyReport = (): VerifyReport => ({
  repositories: 0,
  manifests: 0,
  tags: 0,
  referrers: 0,
  links: 0,
  contents: 0,
  bytes: 0,
  hints: 0,
  faults: 0,
  repaired: 0,
  durationMs: 0
})
