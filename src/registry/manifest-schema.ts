import { type Static, type TSchema, Type } from '@sinclair/typebox'
import { type TypeCheck, TypeCompiler } from '@sinclair/typebox/compiler'
import { type Digest, parseDigest } from './digest.ts'
import { RegistryError } from './errors.ts'
import { parseManifestJson } from './manifest-json.ts'
import {
  isImage,
  isIndex,
  isManifest,
  isNonDistributable,
  isSchema1,
  OCI_ARTIFACT,
  OCI_IMAGE,
  OCI_INDEX
} from './media-types.ts'

// Go writes `null` for a list or a map that nobody filled; clients are used to registries that read it as empty.
const orNull = <S extends TSchema>(schema: S) => Type.Optional(Type.Union([schema, Type.Null()]))

/** A descriptor of the image spec (descriptor.md): what the registry reads of it. More fields may stand beside. */
const DescriptorSchema = Type.Object({
  mediaType: Type.String(),
  digest: Type.String(),
  size: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
  urls: orNull(Type.Array(Type.String())),
  platform: orNull(Type.Object({ architecture: Type.Optional(Type.Unknown()), os: Type.Optional(Type.Unknown()) }))
})
export type Descriptor = Static<typeof DescriptorSchema>
const Descriptors = Type.Array(DescriptorSchema)
const Annotations = Type.Record(Type.String(), Type.String())

const Common = {
  schemaVersion: Type.Literal(2),
  artifactType: orNull(Type.String()),
  subject: orNull(DescriptorSchema),
  annotations: orNull(Annotations)
}
// image-spec 1.1.0-rc2; gone from the release, still about.
const ArtifactSchema = Type.Object({
  ...Common,
  schemaVersion: Type.Optional(Type.Literal(2)),
  blobs: orNull(Descriptors)
})
const imageCheck = TypeCompiler.Compile(
  Type.Object({ ...Common, config: DescriptorSchema, layers: Type.Union([Descriptors, Type.Null()]) })
)
const indexCheck = TypeCompiler.Compile(Type.Object({ ...Common, manifests: Type.Union([Descriptors, Type.Null()]) }))
const artifactCheck = TypeCompiler.Compile(ArtifactSchema)
const descriptorCheck = TypeCompiler.Compile(DescriptorSchema)
const annotationsCheck = TypeCompiler.Compile(Annotations)

/** Something that a manifest needs in its repository. */
export interface ManifestReference {
  digest: Digest
  size: number
  mediaType: string
  /** `entry`: of an index; a manifest as a rule, a blob in BuildKit's caches. */
  kind: 'blob' | 'entry'
  /** False: the manifest is fine without it, as with layers that are fetched from elsewhere. */
  required: boolean
}

/** What the registry has read of a manifest. The bytes that were pushed stay what they are. */
export interface Manifest {
  mediaType: string
  /** Whether the document itself states its type. If not, the type is what the client said when it pushed it. */
  stated: boolean
  references: ManifestReference[]
  /** Entries of an index, in their order. */
  entries: Descriptor[]
  subject?: Digest
  /** As the referrers API tells it (spec, "Listing Referrers"). */
  artifactType?: string
  annotations?: Record<string, string>
}

const invalid = (message: string, cause?: unknown): RegistryError =>
  new RegistryError('manifest-invalid', {}, { message, cause })

/**
 * Reads and checks a manifest that is pushed (spec, "Pushing Manifests"): as `parseManifest`, and documents that clients
 * could read in two ways are refused as well.
 */
export function parsePushedManifest(bytes: Buffer, contentType: string): Manifest {
  const json = parseManifestJson(bytes)
  const manifest = readManifest(json, contentType)
  refuseAmbiguous(json, manifest.mediaType)
  return manifest
}

/**
 * Reads a manifest.
 * Takes the bytes as pushed and the request's media type, '' when it had none.
 * Throws `manifest-invalid`, or `digest-invalid` for a digest that no registry could hold.
 */
export const parseManifest = (bytes: Buffer, contentType: string): Manifest =>
  readManifest(parseManifestJson(bytes), contentType)

function readManifest(json: Record<string, unknown>, contentType: string): Manifest {
  const mediaType = mediaTypeOf(json, contentType)
  const stated = json.mediaType === mediaType
  if (isImage(mediaType)) {
    const image = checked(imageCheck, json)
    return {
      ...described(image),
      mediaType,
      stated,
      artifactType: image.artifactType || image.config.mediaType,
      references: [image.config, ...(image.layers ?? [])].map(blobReference),
      entries: []
    }
  }
  if (isIndex(mediaType)) {
    const index = checked(indexCheck, json)
    const entries = index.manifests ?? []
    return { ...described(index), mediaType, stated, references: entries.map(entryReference), entries }
  }
  if (mediaType === OCI_ARTIFACT) {
    const artifact = checked(artifactCheck, json)
    return {
      ...described(artifact),
      mediaType,
      stated,
      references: (artifact.blobs ?? []).map(blobReference),
      entries: []
    }
  }
  return parseOther(json, mediaType)
}

/** A type that is not ours to judge: whatever in it reads as a reference is kept, nothing is insisted on. */
function parseOther(json: Record<string, unknown>, mediaType: string): Manifest {
  const found = (field: string): Descriptor[] =>
    [json[field]].flat().filter((value): value is Descriptor => descriptorCheck.Check(value) && isDigest(value.digest))
  const blobs = [...found('config'), ...found('layers'), ...found('blobs')].map(blobReference)
  const entries = found('manifests').map(entryReference)
  const subject = found('subject')[0]
  return {
    mediaType,
    stated: true,
    references: [...blobs, ...entries].map(reference => ({ ...reference, required: false })),
    entries: [],
    ...(subject && { subject: parseDigest(subject.digest) }),
    ...(typeof json.artifactType === 'string' && json.artifactType && { artifactType: json.artifactType }),
    ...(annotationsCheck.Check(json.annotations) && { annotations: json.annotations })
  }
}

function mediaTypeOf(json: Record<string, unknown>, contentType: string): string {
  const stated = json.mediaType
  if (stated !== undefined && typeof stated !== 'string') throw invalid('the mediaType is not a string')
  if (isSchema1(contentType || stated || '') || json.schemaVersion === 1) {
    throw invalid(
      'Docker schema 1 manifests are not supported: push with a current client, or convert the image with "skopeo copy --format oci"'
    )
  }
  const mediaType = contentType || stated || guess(json)
  if (stated && stated !== mediaType) {
    throw invalid(`the manifest's mediaType ${shown(stated)} contradicts the Content-Type ${shown(mediaType)}`)
  }
  // It is told in a header of every answer. RFC 6838 section 4.2: two names of at most 127 characters.
  if (mediaType.length > 255) throw invalid('the media type is longer than 255 characters')
  const known = isManifest(mediaType)
  const other = stated === mediaType && /^application\/[\w.+-]+\+json$/.test(mediaType)
  if (!known && !other) throw invalid(`${shown(mediaType)} is no type of a manifest`)
  return mediaType
}

/** What decides how a manifest is read, by its name without case. */
const FIELDS = new Map(
  [
    'schemaVersion',
    'mediaType',
    'artifactType',
    'config',
    'layers',
    'manifests',
    'blobs',
    'fsLayers',
    'subject',
    'annotations'
  ].map(field => [withoutCase(field), field])
)

/**
 * A document with the fields of an image and of an index would be one to some clients and the other to others
 * (CVE-2021-41190). Go's JSON parser does not look at the case of a name, so two names that differ in case only would be
 * read in two ways as well.
 */
function refuseAmbiguous(json: Record<string, unknown>, mediaType: string): void {
  const foreign = foreignTo(mediaType)
  if (!foreign) return // a type that is not ours to judge
  for (const [field, value] of Object.entries(json)) {
    const known = FIELDS.get(withoutCase(field))
    if (known === undefined || value === null) continue
    if (known !== field) throw invalid(`the field ${shown(field)} can be taken for ${shown(known)}`)
    if (foreign.includes(field)) {
      throw invalid(
        `a manifest of type ${mediaType} has the field ${shown(field)}, so clients could take it for another type`
      )
    }
  }
}

/** Fields that say that a manifest is of another type than this one. */
function foreignTo(mediaType: string): readonly string[] | undefined {
  if (isImage(mediaType)) return ['manifests', 'fsLayers']
  if (isIndex(mediaType)) return ['config', 'layers', 'fsLayers']
  return mediaType === OCI_ARTIFACT ? ['config', 'layers', 'manifests', 'fsLayers'] : undefined
}

// Both ways: some letters, such as the long s, have an upper case alone that is the same.
function withoutCase(field: string): string {
  return field.toUpperCase().toLowerCase()
}

/** spec: Content-Type and mediaType are SHOULDs, and what an object holds tells an image from an index. */
function guess(json: Record<string, unknown>): string {
  if (Array.isArray(json.manifests)) return OCI_INDEX
  if (json.config !== undefined && Array.isArray(json.layers)) return OCI_IMAGE
  throw invalid('neither the Content-Type nor the mediaType tells what this manifest is')
}

function checked<S extends TSchema>(schema: TypeCheck<S>, json: unknown): Static<S> {
  if (schema.Check(json)) return json
  const first = schema.Errors(json).First()
  throw invalid(`${first?.path || 'the manifest'}: ${first?.message ?? 'not as the image spec has it'}`)
}

function described(manifest: Static<typeof ArtifactSchema>): Partial<Manifest> {
  const { subject, artifactType, annotations } = manifest
  return {
    ...(subject && { subject: parseDigest(subject.digest) }),
    ...(artifactType && { artifactType }),
    ...(annotations && { annotations })
  }
}

const isDigest = (text: string): boolean => {
  try {
    return Boolean(parseDigest(text))
  } catch {
    return false
  }
}

const entryReference = ({ digest, size, mediaType }: Descriptor): ManifestReference => ({
  digest: parseDigest(digest),
  size,
  mediaType,
  kind: 'entry',
  required: true
})

const blobReference = ({ digest, size, urls, mediaType }: Descriptor): ManifestReference => ({
  digest: parseDigest(digest),
  size,
  mediaType,
  kind: 'blob',
  required: !(urls?.length || isNonDistributable(mediaType))
})

const shown = (text: string): string => JSON.stringify(text.slice(0, 100))
