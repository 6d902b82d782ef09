import { RegistryError } from '../errors.ts'
import {
  allReferrersOf,
  blobsOf,
  CATALOG,
  catalogKey,
  manifestsOf,
  parseCatalogKey,
  parseTagKey,
  parseTagOfValue,
  tagsOf
} from '../keys.ts'
import { parallel } from '../parallel.ts'
import { batches, deleteAll, entries, grouped, PAGE } from './listing.ts'
import { pastFull } from './room.ts'
import { type Round, WIDTH } from './round.ts'

/** Enters a repository into the catalog that holds something and is missing there, after a crash. */
export async function mendCatalog({ storage, registry }: Round, name: string): Promise<void> {
  if (await storage.stat(catalogKey(name))) return
  if (await registry.repositories.exists(name)) await pastFull(registry.repositories.ensure(name, { always: true }))
}

/** Takes repositories out of the catalog that hold nothing. */
export async function collectCatalog(round: Round, wanted: (name: string) => boolean): Promise<void> {
  const { repositories } = round.registry
  for await (const page of batches(entries(round, CATALOG), PAGE)) {
    const names = page.map(({ key }) => parseCatalogKey(key)).filter(wanted)
    await parallel(names, WIDTH, async name => {
      if (await repositories.exists(name)) return
      await repositories.leaveIfEmpty(name)
      round.report.leftovers++
    })
  }
}

/**
 * Deletes all that a repository has now, whoever relies on it. The order is the one that docs/storage.md has for the
 * deletion of a manifest and of a blob. Of the reverses only those of tags that go are taken: one that is found later
 * may be of a tag that is about to be pushed. Throws `name-unknown`.
 */
export async function removeRepository(round: Round, name: string): Promise<void> {
  const { storage, registry, orphans, report } = round
  if (!(await registry.repositories.exists(name)) && !(await storage.stat(catalogKey(name)))) {
    throw new RegistryError('name-unknown', { name })
  }
  for await (const [tag, values] of grouped(entries(round, tagsOf(name)), ({ key }) => parseTagOfValue(key))) {
    await registry.tags.drop(
      name,
      tag,
      values.map(({ key }) => parseTagKey(key))
    )
  }
  await removeAll(round, allReferrersOf(name))
  report.manifests += await removeAll(round, manifestsOf(name))
  for await (const links of batches(entries(round, blobsOf(name)), PAGE)) {
    await orphans.unlink(links.map(({ key }) => key))
    report.links += links.length
  }
  report.repositories++
  await registry.repositories.leaveIfEmpty(name)
}

/** Returns how many keys there were. */
async function removeAll(round: Round, prefix: string): Promise<number> {
  let count = 0
  for await (const page of batches(entries(round, prefix), PAGE)) {
    await deleteAll(
      round,
      page.map(({ key }) => key)
    )
    count += page.length
  }
  return count
}
