import type { Digest } from '../digest.ts'
import {
  allReferrersOf,
  allTaggedOf,
  manifestsOf,
  parseFolderDigest,
  parseReferrer,
  parseReferrerKeys,
  parseTagFolder,
  parseTagKey,
  parseTagOfValue,
  type TagKey,
  taggedKey,
  tagsOf
} from '../keys.ts'
import { aged, deleteAll, entries, grouped, surplus, unnamed } from './listing.ts'
import type { Round } from './round.ts'

/**
 * Takes what a crash or the end of a manifest left behind, once it is older than the grace: values of tags, and
 * referrers, whose manifest is not there; those that a newer one stands for; reverses of values that are not there.
 */
export async function collectDangling(round: Round, name: string): Promise<void> {
  await collectTags(round, name)
  await collectEmptyTags(round, name)
  await collectReferrers(round, name)
  await collectReverses(round, name)
}

async function* manifestDigests(round: Round, name: string): AsyncGenerator<Digest> {
  for await (const { key } of entries(round, manifestsOf(name))) yield parseFolderDigest(key)
}

interface Tag {
  tag: string
  /** Newest first. */
  values: TagKey[]
}

async function collectTags(round: Round, name: string): Promise<void> {
  for await (const dangling of unnamed(oldTags(round, name), () => manifestDigests(round, name), round.batch)) {
    // The whole tag: without its first value an older one would show.
    for (const { tag, values } of dangling) await dropValues(round, name, tag, values)
  }
}

/** Tags by the digest that they name, where that was written longer ago than the grace. */
async function* oldTags(round: Round, name: string): AsyncGenerator<[Digest, Tag]> {
  for await (const [tag, listed] of grouped(aged(round, tagsOf(name)), ({ key }) => parseTagOfValue(key))) {
    const values = listed.map(({ key }) => parseTagKey(key))
    const isOld = (_: TagKey, index: number): boolean => listed[index]!.ageMs > round.graceMs
    const over = values.filter((value, index) => index > 0 && isOld(value, index))
    await dropValues(round, name, tag, over)
    if (isOld(values[0]!, 0)) yield [values[0]!.digest, { tag, values: values.filter(value => !over.includes(value)) }]
  }
}

/** A deletion that a crash cut short leaves a folder without a value, which a folder of a disk lists as a tag. */
async function collectEmptyTags(round: Round, name: string): Promise<void> {
  for await (const tags of unnamed(listedTags(round, name), () => tagsWithValues(round, name), round.batch)) {
    for (const tag of tags) await round.registry.tags.drop(name, tag, [])
  }
}

async function* listedTags(round: Round, name: string): AsyncGenerator<[string, string]> {
  for await (const { key } of entries(round, tagsOf(name), { folders: true })) {
    const tag = parseTagFolder(key)
    yield [tag, tag]
  }
}

async function* tagsWithValues(round: Round, name: string): AsyncGenerator<string> {
  for await (const { key } of entries(round, tagsOf(name))) yield parseTagOfValue(key)
}

async function dropValues({ registry, report }: Round, name: string, tag: string, values: TagKey[]): Promise<void> {
  if (values.length === 0) return
  await registry.tags.drop(name, tag, values)
  report.leftovers += values.length
}

async function collectReferrers(round: Round, name: string): Promise<void> {
  for await (const keys of unnamed(oldReferrers(round, name), () => manifestDigests(round, name), round.batch)) {
    await deleteAll(round, keys)
    round.report.leftovers += keys.length
  }
}

/** Referrers by their digest; what a newer key of the same one stands for goes at once. */
async function* oldReferrers(round: Round, name: string): AsyncGenerator<[Digest, string]> {
  for await (const [, keys] of grouped(aged(round, allReferrersOf(name)), ({ key }) => parseReferrerKeys(key))) {
    const over = surplus(keys, round.graceMs)
    await deleteAll(round, over, false)
    round.report.leftovers += over.length
    for (const { key, ageMs } of keys) {
      if (ageMs > round.graceMs && !over.includes(key)) yield [parseReferrer(key), key]
    }
  }
}

async function collectReverses(round: Round, name: string): Promise<void> {
  for await (const keys of unnamed(oldReverses(round, name), () => reversesOfValues(round, name), round.batch)) {
    await deleteAll(round, keys, false)
    round.report.leftovers += keys.length
  }
}

async function* oldReverses(round: Round, name: string): AsyncGenerator<[string, string]> {
  for await (const { key, ageMs } of aged(round, allTaggedOf(name))) if (ageMs > round.graceMs) yield [key, key]
}

async function* reversesOfValues(round: Round, name: string): AsyncGenerator<string> {
  for await (const { key } of entries(round, tagsOf(name))) {
    const { digest, nonce } = parseTagKey(key)
    yield taggedKey(name, digest, parseTagOfValue(key), nonce)
  }
}
