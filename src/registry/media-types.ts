/** The media types that the registry treats in a way of their own (image-spec, media-types.md; Docker's older ones). */
export const OCI_IMAGE = 'application/vnd.oci.image.manifest.v1+json'
export const OCI_INDEX = 'application/vnd.oci.image.index.v1+json'
export const OCI_ARTIFACT = 'application/vnd.oci.artifact.manifest.v1+json'
export const DOCKER_IMAGE = 'application/vnd.docker.distribution.manifest.v2+json'
export const DOCKER_LIST = 'application/vnd.docker.distribution.manifest.list.v2+json'

/** Lists of manifests, one of which a client picks. */
export const isIndex = (mediaType: string): boolean => mediaType === OCI_INDEX || mediaType === DOCKER_LIST
export const isImage = (mediaType: string): boolean => mediaType === OCI_IMAGE || mediaType === DOCKER_IMAGE
/** Types of what clients push and pull as a manifest. */
export const isManifest = (mediaType: string): boolean =>
  isImage(mediaType) || isIndex(mediaType) || mediaType === OCI_ARTIFACT
export const isSchema1 = (mediaType: string): boolean =>
  mediaType.startsWith('application/vnd.docker.distribution.manifest.v1+')

/** Layers that need not be in any registry (image-spec, layer.md, "Non-Distributable Layers"). */
export const isNonDistributable = (mediaType: string): boolean =>
  mediaType.startsWith('application/vnd.oci.image.layer.nondistributable.') ||
  mediaType.startsWith('application/vnd.docker.image.rootfs.foreign.')
