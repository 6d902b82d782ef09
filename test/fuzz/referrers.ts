import fc from 'fast-check'
import { send } from '../reliability/http.ts'
import { digestOf } from '../support/images.ts'
import { watchOthers } from './others.ts'
import { fuzz, type Target } from './target.ts'

const INDEX = 'application/vnd.oci.image.index.v1+json'
const TYPES = ['application/spdx+json', 'application/vnd.test.signature', 'application/vnd.test.report']
/** Most bytes of one page, and of one descriptor beyond them. */
const PAGE_BYTES = 9 * 1024 * 1024
/** Listings at the same time. */
const WIDTH = 4

/**
 * Referrers with annotations of any size: each page is bounded, pages together hold every referrer of the type asked for
 * once and none of another, and another client is answered meanwhile.
 */
export async function fuzzReferrers(target: Target): Promise<string> {
  const { url } = target.server
  const beside = watchOthers(url)
  let [number, pushed, pages] = [0, 0, 0]
  const rounds = await fuzz(target, fc.array(referrer, { minLength: 1, maxLength: 12 }), async referrers => {
    const name = `referred/run-${number++}`
    const subject = digestOf(Buffer.from(name))
    const digests = new Map<string, Set<string>>(TYPES.map(type => [type, new Set()]))
    for (const { type, bytes, marks } of referrers) {
      const body = manifestOf(subject, type, bytes, marks)
      const headers = { 'content-type': INDEX }
      const answer = await send(`${url}/v2/${name}/manifests/${digestOf(body)}`, { method: 'PUT', headers, body })
      if (answer.status !== 201) throw new Error(`${answer.status}\n${answer.body}`)
      digests.get(type)!.add(digestOf(body))
      pushed += 1
    }
    const listings = Array.from({ length: WIDTH }, async (_, at) => {
      const type = TYPES[at % TYPES.length]!
      const found = await listOf(`${url}/v2/${name}/referrers/${subject}?artifactType=${encodeURIComponent(type)}`)
      pages += found.pages
      const wanted = [...digests.get(type)!].sort()
      if (found.digests.sort().join() !== wanted.join()) {
        throw new Error(`${found.digests.length} referrers of ${type}, and ${wanted.length} were pushed`)
      }
    })
    await Promise.all(listings)
  })
  return `${rounds} rounds, ${pushed} referrers, ${pages} pages; ${await beside.end()}`
}

async function listOf(first: string): Promise<{ digests: string[]; pages: number }> {
  const digests: string[] = []
  let pages = 0
  for (let next: string | undefined = first; next !== undefined; pages++) {
    const { status, headers, body } = await send(next)
    if (status !== 200) throw new Error(`${status}\n${body}`)
    if (body.length > PAGE_BYTES) throw new Error(`a page of ${body.length} bytes`)
    const { manifests } = JSON.parse(body.toString()) as { manifests: { digest: string }[] }
    digests.push(...manifests.map(({ digest }) => digest))
    const link: string | undefined = /^<([^>]+)>/.exec(String(headers.link ?? ''))?.[1]
    next = link && new URL(link, next).href
  }
  return { digests, pages }
}

function manifestOf(subject: string, type: string, bytes: number, marks: number): Buffer {
  const each = Math.floor(bytes / marks)
  const annotations = Object.fromEntries(Array.from({ length: marks }, (_, at) => [`mark-${at}`, 'x'.repeat(each)]))
  const descriptor = { mediaType: INDEX, digest: subject, size: 2 }
  const manifest = {
    schemaVersion: 2,
    mediaType: INDEX,
    artifactType: type,
    manifests: [],
    subject: descriptor,
    annotations
  }
  return Buffer.from(JSON.stringify({ ...manifest, annotations: { ...annotations, of: subject } }))
}

const size = fc.oneof(fc.integer({ min: 0, max: 2000 }), fc.integer({ min: 0, max: 3_900_000 }))
const referrer = fc.record({ type: fc.constantFrom(...TYPES), bytes: size, marks: fc.integer({ min: 1, max: 300 }) })
