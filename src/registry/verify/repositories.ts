import { aged, entries } from '../gc/listing.ts'
import { blobsOf, CATALOG, catalogKey, isOurs, parseCatalogKey, parseTagOfValue, partsOf, tagsOf } from '../keys.ts'
import { type Check, SETTLED_MS } from './check.ts'
import { checkManifests } from './manifests.ts'
import { checkReferrers } from './referrers.ts'
import { checkTags } from './tags.ts'

/** Looks at all of a repository but the bytes of its blobs. */
export async function checkRepository(check: Check, name: string): Promise<void> {
  const ageMs = await checkKeys(check, name)
  await checkManifests(check, name)
  await checkTags(check, name)
  await checkReferrers(check, name)
  if (ageMs >= SETTLED_MS) await checkEntry(check, name)
  check.report.repositories++
}

/** Counts the keys of ours, and tells of others. Returns the age of the eldest key that is, in ms. */
async function checkKeys(check: Check, name: string): Promise<number> {
  const { report } = check
  let eldest = 0
  let lastTag: string | undefined
  for (const part of partsOf(name)) {
    for await (const { key, ageMs } of aged(check, part)) {
      if (isOurs(name, key)) {
        eldest = Math.max(eldest, ageMs)
        if (part === blobsOf(name)) report.links++
        if (part !== tagsOf(name)) continue
        const tag = parseTagOfValue(key)
        if (tag !== lastTag) report.tags++
        lastTag = tag
      } else {
        const message = `${JSON.stringify(key)} is no key that the registry writes`
        await check.found({ kind: 'key-unknown', repository: name, message })
      }
    }
  }
  return eldest
}

async function checkEntry({ storage, registry, found }: Check, name: string): Promise<void> {
  const { repositories } = registry
  if ((await storage.stat(catalogKey(name))) || !(await repositories.exists(name))) return
  await found({ kind: 'catalog-missing', repository: name, message: 'the catalog lacks it' }, () =>
    repositories.ensure(name, { always: true })
  )
}

/** Looks for repositories in the catalog that hold nothing. */
export async function checkCatalog(check: Check): Promise<void> {
  const { registry, storage, wanted, found } = check
  for await (const { key } of entries(check, CATALOG)) {
    const name = parseCatalogKey(key)
    if (!wanted(name) || (await registry.repositories.exists(name))) continue
    const entry = await storage.stat(key)
    if (!entry || entry.ageMs < SETTLED_MS) continue
    await found({ kind: 'catalog-empty', repository: name, message: 'the catalog has it, and it holds nothing' }, () =>
      registry.repositories.leaveIfEmpty(name)
    )
  }
}
