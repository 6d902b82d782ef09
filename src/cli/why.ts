import type { Command } from 'commander'
import { type Digest, parseDigest } from '../registry/digest.ts'
import { RegistryError } from '../registry/errors.ts'
import type { Keeper } from '../registry/gc/kept.ts'
import type { BlobFacts, ManifestFacts, Why } from '../registry/gc/why.ts'
import { parseRepository } from '../registry/names.ts'
import { bytesText, durationText } from '../units.ts'
import { CommandError, withStore } from './store.ts'

/** `why`: what keeps a manifest or a blob, and when it may go. */
export function addWhy(program: Command, env = process.env): void {
  program
    .command('why')
    .description('tell what keeps a manifest or a blob, and when it may go')
    .argument('<repository@digest>')
    .action(async (reference: string) => {
      const [name, digest] = parse(reference)
      await withStore(
        env,
        async ({ collector, graceMs }) => {
          const why = await collector.why(name, digest).catch(error => {
            if (error instanceof RegistryError && error.kind === 'manifest-unknown') {
              throw new CommandError(`${name} holds no manifest and no blob ${digest}`)
            }
            throw error
          })
          console.log(whyText(why, graceMs))
        },
        { dryRun: true }
      )
    })
}

function parse(reference: string): [name: string, digest: Digest] {
  const at = reference.lastIndexOf('@')
  try {
    return [parseRepository(reference.slice(0, Math.max(at, 0))), parseDigest(reference.slice(at + 1))]
  } catch {
    throw new CommandError(`${JSON.stringify(reference)} is not REPOSITORY@DIGEST, such as team/app@sha256:…`)
  }
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
