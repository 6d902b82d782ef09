import type { Command } from 'commander'
import { RegistryError } from '../registry/errors.ts'
import type { Keeper } from '../registry/gc/kept.ts'
import type { BlobFacts, ManifestFacts, Why } from '../registry/gc/why.ts'
import { bytesText, durationText } from '../units.ts'
import { type Reference, referenceArgument } from './names.ts'
import { CommandError, type Store, withStore } from './store.ts'

/** `why`: what keeps a manifest or a blob, and when it may go. */
export function addWhy(program: Command, env = process.env): void {
  program
    .command('why')
    .description('explain what keeps a manifest or a blob, and when it may be collected')
    .argument('<reference>', 'repository:tag or repository@digest')
    .option('--json', 'as JSON')
    .action(async (reference: string, { json = false }: { json?: boolean }) => {
      const asked = referenceArgument(reference)
      await withStore(env, store => explain(store, asked, json), { dryRun: true })
    })
}

async function explain({ registry, collector, graceMs }: Store, asked: Reference, json: boolean): Promise<void> {
  const { name } = asked
  const digest = 'digest' in asked ? asked.digest : (await registry.tags.resolve(name, asked.tag))?.digest
  if (digest === undefined) throw new CommandError(`${name} has no tag ${'tag' in asked ? asked.tag : ''}`)
  const why = await collector.why(name, digest).catch(error => {
    if (error instanceof RegistryError && error.kind === 'manifest-unknown') {
      throw new CommandError(`${name} holds no manifest and no blob ${digest}`)
    }
    throw error
  })
  console.log(json ? JSON.stringify({ repository: name, digest, ...why }) : whyText(why, graceMs))
}

function whyText({ manifest, blob }: Why, graceMs: number): string {
  return [...(manifest ? manifestLines(manifest, graceMs) : []), ...(blob ? blobLines(blob, graceMs) : [])].join('\n')
}

function manifestLines(facts: ManifestFacts, graceMs: number): string[] {
  const { ageMs, keepers, tags, indexes, subject, referrers } = facts
  return [
    `manifest, written ${durationText(ageMs)} ago`,
    ...list('tagged', tags),
    ...list('listed by', indexes),
    ...list('refers to', subject ? [subject] : []),
    ...list('referred to by', referrers),
    manifestVerdict(keepers, graceMs - ageMs)
  ]
}

function manifestVerdict(keepers: Keeper[], leftMs: number): string {
  const [first] = keepers
  if (!first) return `  nothing keeps it: gc --untagged takes it, gc alone does not`
  if ('young' in first && keepers.length === 1) {
    return `  its age keeps it: gc --untagged takes it ${later(leftMs)} at the earliest`
  }
  return `  kept by ${[...keepers.map(keeperText), 'this'].join(' → ')}`
}

function keeperText(keeper: Keeper): string {
  if ('tag' in keeper) return `tag ${keeper.tag}`
  if ('index' in keeper) return `index ${keeper.index}`
  if ('subject' in keeper) return `subject ${keeper.subject}`
  return 'the age of what follows'
}

function blobLines(facts: BlobFacts, graceMs: number): string[] {
  const { ageMs, size, manifests, content, elsewhere, entryAgeMs } = facts
  const verdict =
    manifests.length > 0
      ? '  its manifests keep it'
      : `  no manifest names it: its link may go ${later(graceMs - ageMs)}, its content ${durationText(graceMs)} after the last link`
  return [
    `blob of ${bytesText(size)}, linked ${durationText(ageMs)} ago to content ${content}`,
    ...list('named by', manifests),
    ...list('the content is also linked by', elsewhere),
    ...(entryAgeMs === undefined ? [] : [`  the content lost a link ${durationText(entryAgeMs)} ago`]),
    verdict
  ]
}

const list = (what: string, items: readonly string[]): string[] => items.map(item => `  ${what} ${item}`)
const later = (ms: number): string => (ms <= 0 ? 'now' : `in ${durationText(ms)}`)
