import { digestOf } from '../reliability/bytes.ts'
import { type Answer, type Client, parse } from '../support/client.ts'
import { offsetOf } from './blob-operations.ts'
import type { Owed, Value } from './ledger.ts'

export interface OwedOptions {
  /** Whether an upload that ended must stay ended. Default true; a power cut may forget its end (docs/storage.md). */
  endings?: boolean
}

/** What is there: a digest, a number of bytes, undefined. Throws where an answer shows half a thing. */
type Look = (client: Client, ...parts: string[]) => Promise<Value>

const looks: Record<string, Look> = {
  blob: (client, repository, digest) => bytesAt(client, `/v2/${repository}/blobs/${digest}`),
  manifest: (client, repository, digest) => wholeManifest(client, repository!, digest!),
  // That its manifest is whole is seen at the manifest.
  tag: (client, repository, tag) => bytesAt(client, `/v2/${repository}/manifests/${tag}`),
  referrer: async (client, repository, subject, digest) => {
    const found = await client.referrers(repository!, subject!)
    return found.some(entry => entry.digest === digest) ? digest : undefined
  },
  session: (client, location) => offsetOf(client, location!)
}

/** Throws unless everything is as it is owed, each thing whole or absent, and the lists tell the same. */
export async function checkOwed(client: Client, owed: Owed, { endings = true }: OwedOptions = {}): Promise<void> {
  const faults: string[] = []
  for (const [resource, values] of owed) {
    const [kind = '', ...parts] = resource.split(' ')
    const found = await looks[kind]!(client, ...parts)
    const right = kind === 'session' ? mayStandAt(found, values, endings) : values.has(found)
    if (!right) faults.push(`${resource} is ${found}, and must be ${[...values].join(' or ')}`)
  }
  faults.push(...(await listFaults(client, owed)))
  if (faults.length > 0) throw new Error(faults.join('\n'))
}

/** What a GET gives; undefined where there is nothing. */
async function wholeAt(client: Client, path: string): Promise<{ digest: string; answer: Answer } | undefined> {
  const answer = await client.get(path)
  if (answer.status === 404) return undefined
  if (answer.status !== 200) throw new Error(`GET ${path}: ${answer.status}\n${answer.body}`)
  const digest = digestOf(answer.body)
  if (answer.headers['docker-content-digest'] !== digest) {
    throw new Error(`GET ${path} has other bytes than its Docker-Content-Digest says`)
  }
  return { digest, answer }
}

const bytesAt = async (client: Client, path: string): Promise<string | undefined> =>
  (await wholeAt(client, path))?.digest

/** An image that is there has all its blobs. */
async function wholeManifest(client: Client, repository: string, digest: string): Promise<string | undefined> {
  const path = `/v2/${repository}/manifests/${digest}`
  const found = await wholeAt(client, path)
  if (!found) return undefined
  const { config, layers = [] } = parse(found.answer) as { config?: { digest: string }; layers?: { digest: string }[] }
  for (const blob of config ? [config, ...layers] : layers) {
    const { status } = await client.head(`/v2/${repository}/blobs/${blob.digest}`)
    if (status !== 200) throw new Error(`GET ${path} is an image whose blob ${blob.digest} is ${status}`)
  }
  return found.digest
}

/** An upload that is being gone on with stands anywhere between what was acknowledged and what was sent. */
function mayStandAt(found: Value, values: Set<Value>, endings: boolean): boolean {
  const sizes = [...values].filter(value => typeof value === 'number')
  if (values.has(undefined)) return found === undefined || !endings || (typeof found === 'number' && sizes.length > 0)
  return typeof found === 'number' && found >= Math.min(...sizes) && found <= Math.max(...sizes)
}

async function listFaults(client: Client, owed: Owed): Promise<string[]> {
  const faults: string[] = []
  const catalog = parse(await client.must(200, client.get('/v2/_catalog'))).repositories as string[]
  const resources = [...owed].map(([resource, values]) => ({ parts: resource.split(' '), values }))
  const repositories = new Set(resources.flatMap(({ parts }) => (parts[0] === 'session' ? [] : [parts[1]!])))
  for (const repository of repositories) {
    const here = resources.filter(({ parts }) => parts[1] === repository)
    // A repository of blobs alone may be left out for a while (docs/storage.md, "Order of writes").
    const holds = here.some(({ parts, values }) => parts[0] === 'manifest' && !values.has(undefined))
    if (holds && !catalog.includes(repository)) faults.push(`the catalog lacks ${repository}`)
    const tags = await tagsOf(client, repository)
    for (const { parts, values } of here.filter(({ parts }) => parts[0] === 'tag')) {
      const listed = tags.includes(parts[2]!)
      if (listed ? [...values].every(value => value === undefined) : !values.has(undefined)) {
        faults.push(`${repository}:${parts[2]} is ${listed ? '' : 'not '}listed`)
      }
    }
  }
  return faults
}

async function tagsOf(client: Client, repository: string): Promise<string[]> {
  const answer = await client.get(`/v2/${repository}/tags/list`)
  if (answer.status === 404) return []
  if (answer.status !== 200) throw new Error(`the tags of ${repository}: ${answer.status}\n${answer.body}`)
  return parse(answer).tags as string[]
}
