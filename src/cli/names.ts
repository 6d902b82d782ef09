import { type Digest, parseDigest } from '../registry/digest.ts'
import { isRepository, parseTag } from '../registry/names.ts'
import { REPOSITORY_PATTERN } from '../registry/patterns.ts'
import { UsageError } from './store.ts'

/** The name of a repository that a command was given. Throws `UsageError`. */
export function repositoryArgument(name: string): string {
  if (isRepository(name)) return name
  throw new UsageError(`${JSON.stringify(name)} is not the name of a repository, such as team/app`)
}

/** A pattern of repositories that a command was given. Throws `UsageError`. */
export function patternOption(pattern: string | undefined): string | undefined {
  if (pattern === undefined || REPOSITORY_PATTERN.test(pattern)) return pattern
  throw new UsageError(
    `--repository is ${JSON.stringify(pattern)}, which matches no repository; allowed: team/app, team/*, team/**`
  )
}

/** What a command was asked about: `team/app@sha256:…` or `team/app:v1`. With both the digest counts. */
export type Reference = { name: string } & ({ digest: Digest } | { tag: string })

/** Throws `UsageError`. */
export function referenceArgument(reference: string): Reference {
  const at = reference.lastIndexOf('@')
  const tagged = at < 0 ? reference : reference.slice(0, at)
  const colon = tagged.lastIndexOf(':')
  const name = colon < 0 ? tagged : tagged.slice(0, colon)
  try {
    const tag = colon < 0 ? undefined : parseTag(tagged.slice(colon + 1))
    if (isRepository(name) && at >= 0) return { name, digest: parseDigest(reference.slice(at + 1)) }
    if (isRepository(name) && tag !== undefined) return { name, tag }
  } catch {
    // Told below.
  }
  throw new UsageError(
    `${JSON.stringify(reference)} is not REPOSITORY:TAG or REPOSITORY@DIGEST, such as team/app:v1 or team/app@sha256:…`
  )
}
