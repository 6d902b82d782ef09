import type { Blobs } from './blobs.ts'
import type { Digest } from './digest.ts'
import { RegistryError } from './errors.ts'
import type { Records } from './manifest-records.ts'
import type { Manifest, ManifestReference } from './manifest-schema.ts'
import { isManifest } from './media-types.ts'
import { parallel } from './parallel.ts'

/** Which references of a manifest may be missing: those of an index, none, or any. */
export type Sparse = 'index' | 'none' | 'all'

/** What becomes of a manifest with a descriptor whose size is not the stored one. */
export type SizeCheck = 'strict' | 'warn'

/** What a manifest may name. */
export interface ReferenceRules {
  sparse: Sparse
  sizeCheck: SizeCheck
  /** Most blobs and manifests that one manifest may name. */
  referencesMax: number
}

/** Looks up as many blobs or entries of one manifest at a time. */
const WIDTH = 16
/** An answer names no more of the blobs that are missing. */
const TOLD_MISSING = 100
/** Nor more of the sizes that are not the stored ones. */
const TOLD_SIZES = 5

/** What manifests name: whether it is there, and stays there. */
export function createReferences(
  { sparse, sizeCheck, referencesMax }: ReferenceRules,
  { records, blobs }: { records: Records; blobs: Blobs }
) {
  /**
   * Makes sure that all that the manifest names is there and stays there (docs/storage.md, "Relying"). Returns warnings
   * about sizes. Throws `manifest-blob-unknown` with an entry for each that is missing, and `manifest-invalid` where a
   * size contradicts what is stored or there are too many references.
   */
  async function relyOnReferences(name: string, manifest: Manifest): Promise<string[]> {
    const distinct = new Map<Digest, ManifestReference[]>()
    for (const reference of manifest.references) {
      const same = distinct.get(reference.digest)
      if (same) same.push(reference)
      else distinct.set(reference.digest, [reference])
    }
    if (distinct.size > referencesMax) throw tooMany(distinct.size, referencesMax)
    const digests = [...distinct.keys()]
    const sizes = await parallel(digests, WIDTH, digest => relyOn(name, digest, distinct.get(digest)!))
    const missing = digests.filter((digest, index) => sizes[index] === undefined && !mayMiss(distinct.get(digest)!))
    if (missing.length > 0) {
      throw new RegistryError(
        'manifest-blob-unknown',
        missing.slice(0, TOLD_MISSING).map(digest => ({ digest }))
      )
    }
    const wrong = digests.flatMap((digest, index) => contradictions(distinct.get(digest)!, sizes[index]))
    if (wrong[0] && sizeCheck === 'strict') {
      throw new RegistryError('manifest-invalid', wrong[0], {
        message: 'a descriptor tells another size than the registry holds'
      })
    }
    return wrong
      .slice(0, TOLD_SIZES)
      .map(({ digest, size, stored }) => `the manifest says that ${digest} has ${size} bytes, and it has ${stored}`)
  }

  /** Whether a manifest is taken though these references, all to the same digest, lead nowhere. */
  const mayMiss = (references: readonly ManifestReference[]): boolean =>
    references.every(({ required, kind }) => !required || sparse === 'all' || (sparse === 'index' && kind === 'entry'))

  /**
   * The size of what these references name, in bytes; undefined: it isn't there. An entry of an index may be a blob, as in
   * BuildKit's caches: its type says what to look for first, so that one look is enough where it is there.
   */
  async function relyOn(
    name: string,
    digest: Digest,
    references: readonly ManifestReference[]
  ): Promise<number | undefined> {
    const entries = references.filter(({ kind }) => kind === 'entry')
    const manifests = entries.filter(({ mediaType }) => isManifest(mediaType))
    if (manifests.length > 0) {
      const size = await records.rely(name, digest)
      if (size !== undefined || manifests.length === references.length) return size
    }
    const size = (await blobs.rely(name, digest))?.size
    if (size !== undefined || entries.length === 0 || manifests.length > 0) return size
    return records.rely(name, digest)
  }

  return { relyOnReferences }
}

interface WrongSize extends Record<string, unknown> {
  digest: Digest
  size: number
  stored: number
}

/** The references to one digest whose size is not the stored one. */
function contradictions(references: readonly ManifestReference[], stored: number | undefined): WrongSize[] {
  if (stored === undefined) return []
  return references.flatMap(({ digest, size, required }) =>
    size === stored || !required ? [] : [{ digest, size, stored }]
  )
}

const tooMany = (given: number, allowed: number): RegistryError =>
  new RegistryError(
    'manifest-invalid',
    { references: given, allowed },
    { message: `the manifest names ${given} blobs and manifests, and may name ${allowed} (MANIFEST_REFERENCES_MAX)` }
  )
