import assert from 'node:assert/strict'
import type { IncomingMessage } from 'node:http'
import { seededBytes } from '../reliability/bytes.ts'
import { type S3Proxy, startProxy, type Trouble } from './proxy.ts'

interface InjectorOptions {
  endpoint: string
  bucket: string
  seed: number
  /** Kinds that never come. */
  without: readonly Trouble[]
}

/** How often each kind comes among a hundred troubles. Those that end with a timeout are rare because they take long. */
const shares: Readonly<Partial<Record<Trouble, number>>> = {
  busy: 20,
  reset: 18,
  torn: 16,
  lost: 16,
  cut: 12,
  bodiless: 4,
  slow: 6,
  stall: 4,
  stuck: 4
}

/** A proxy before an S3 server that breaks a share of the requests, in an order that the seed tells. */
export interface Injector extends S3Proxy {
  /** How many requests came, and what befell how many of them. */
  readonly requests: number
  readonly counts: ReadonlyMap<Trouble, number>
  /** The kinds that come. */
  readonly kinds: ReadonlySet<Trouble>
  /** Keys on which a multipart upload was asked for. */
  readonly multipartKeys: ReadonlySet<string>
  /** From now on this share of the requests, between 0 and 1. */
  trouble(share: number): void
}

export async function startInjector({ endpoint, bucket, seed, without }: InjectorOptions): Promise<Injector> {
  const kinds = Object.entries(shares).flatMap(([name, many]) => {
    const kind = name as Trouble
    return without.includes(kind) ? [] : Array<Trouble>(many).fill(kind)
  })
  const numbers = randomNumbers(seed)
  const next = (): number => numbers.next().value as number
  const counts = new Map<Trouble, number>()
  const multipartKeys = new Set<string>()
  let [share, requests] = [0, 0]
  const proxy = await startProxy(endpoint, asked => {
    const key = multipartKey(asked, bucket)
    if (key !== undefined) multipartKeys.add(key)
    requests++
    const [whether, which] = [next(), next()]
    if (whether >= share) return undefined
    const kind = kinds[Math.floor(which * kinds.length)]!
    counts.set(kind, (counts.get(kind) ?? 0) + 1)
    return kind
  })
  return {
    ...proxy,
    counts,
    kinds: new Set(kinds),
    multipartKeys,
    get requests() {
      return requests
    },
    trouble: wanted => {
      share = wanted
    }
  }
}

/** Throws unless it broke about this share of the requests, in each of its ways. */
export function assertInjected({ requests, counts, kinds }: Injector, share: number): string {
  const troubled = [...counts.values()].reduce((sum, count) => sum + count, 0)
  const each = [...kinds].map(kind => `${kind} ${counts.get(kind) ?? 0}`)
  const figures = `${troubled} of ${requests} requests were broken (${each.join(', ')})`
  assert.ok(troubled > (requests * share) / 2 && troubled < requests * share * 2, figures)
  for (const kind of kinds) assert.ok(counts.get(kind), `${kind} never came: ${figures}`)
  return figures
}

function multipartKey({ method, url = '' }: IncomingMessage, bucket: string): string | undefined {
  const { pathname, searchParams } = new URL(url, 'http://s3')
  return method === 'POST' && searchParams.has('uploads') ? pathname.slice(bucket.length + 2) : undefined
}

/** An endless sequence of numbers from 0 (inclusive) to 1 (exclusive). */
function* randomNumbers(seed: number): Generator<number> {
  for (const block of seededBytes(seed, 0, Number.MAX_SAFE_INTEGER)) {
    for (let at = 0; at < block.length; at += 4) yield block.readUInt32LE(at) / 2 ** 32
  }
}
