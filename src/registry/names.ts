import { type Digest, parseDigest } from './digest.ts'
import { RegistryError } from './errors.ts'

/** Longest repository name. Clients count the registry's host in, so what they can name is shorter still. */
const NAME_MAX = 255

// spec, "Pulling manifests": the grammars of <name> and of a tag.
const NAME = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/
const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/

export type Reference = { digest: Digest; tag?: undefined } | { tag: string; digest?: undefined }

/** Whether a repository may have this name (spec, "Pulling manifests"). */
export const isRepository = (name: string): boolean => name.length <= NAME_MAX && NAME.test(name)

/** Checks the name of a repository and returns it. Throws `name-invalid` (spec, "Pulling manifests"). */
export function parseRepository(name: string): string {
  if (!isRepository(name)) {
    throw new RegistryError('name-invalid', { name: name.slice(0, NAME_MAX) })
  }
  return name
}

/** Checks a tag and returns it. Throws `tag-invalid` (spec, "Pulling manifests"). */
export function parseTag(tag: string): string {
  if (!TAG.test(tag)) throw new RegistryError('tag-invalid', { tag: tag.slice(0, 128) })
  return tag
}

/**
 * Tells a digest from a tag: a tag has no colon. Throws `digest-invalid` or `tag-invalid`.
 */
export function parseReference(reference: string): Reference {
  return reference.includes(':') ? { digest: parseDigest(reference) } : { tag: parseTag(reference) }
}
