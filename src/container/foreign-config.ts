import { access } from 'node:fs/promises'

/** Where the images of CNCF Distribution (`registry:2`, `registry:3`) read their configuration. */
export const FOREIGN_FILES = ['/etc/docker/registry/config.yml', '/etc/distribution/config.yml']

/**
 * A sentence where one of the files exists. This image has none of them, so its operator mounted it, and believes that the
 * users and limits in it count.
 */
export async function foreignConfig(files: readonly string[] = FOREIGN_FILES): Promise<string | undefined> {
  for (const file of files) {
    const exists = await access(file).then(
      () => true,
      () => false
    )
    if (exists) {
      return `${file} is mounted, and this registry reads no configuration file; allowed: environment variables (docs/configuration.md), without that mount`
    }
  }
  return undefined
}
