import fc from 'fast-check'
import { send } from '../reliability/http.ts'
import { judge } from './judge.ts'
import { watchOthers } from './others.ts'
import { fuzz, type Target } from './target.ts'

const IMAGE = 'application/vnd.oci.image.manifest.v1+json'
const INDEX = 'application/vnd.oci.image.index.v1+json'
/** Default of MANIFEST_REFERENCES_MAX. */
const REFERENCES_MAX = 5000
const MANIFEST_MAX = 4 * 1024 * 1024

const digest = (at: number): string => `sha256:${at.toString(16).padStart(64, '0')}`
const descriptor = (at: number): string => `{"mediaType":"${IMAGE}","digest":"${digest(at)}","size":2}`
const index = (inside: string): string => `{"schemaVersion":2,"mediaType":"${INDEX}",${inside}}`

interface Bomb {
  body: Buffer
  type: string
  /** Statuses that are right. */
  right: readonly number[]
}

/** Pushes bombs one after another, while another client asks something small all the time. */
export async function fuzzManifests(target: Target): Promise<string> {
  const { url } = target.server
  const beside = watchOthers(url)
  const answered = new Map<number, number>()
  const bombs = await fuzz(target, bomb, async ({ body, type, right }) => {
    const headers = type === '' ? {} : { 'content-type': type }
    const answer = await send(`${url}/v2/bombs/manifests/v1`, { method: 'PUT', headers, body })
    answered.set(answer.status, (answered.get(answer.status) ?? 0) + 1)
    const lines = Object.entries(answer.headers).map(([name, value]): [string, string] => [name, String(value)])
    judge({ status: answer.status, headers: lines, body: answer.body }, { secret: target.parent })
    if (!right.includes(answer.status)) throw new Error(`${answer.status} for ${body.subarray(0, 200)}`)
    if (answer.status === 201) await isPulled(url, body)
  })
  return `${bombs} bombs, answers ${JSON.stringify(Object.fromEntries(answered))}; ${await beside.end()}`
}

async function isPulled(url: string, body: Buffer): Promise<void> {
  const answer = await send(`${url}/v2/bombs/manifests/v1`)
  if (answer.status !== 200 || !answer.body.equals(body)) throw new Error(`pushed, and pulled as ${answer.status}`)
}

const nested = fc
  .record({ depth: fc.integer({ min: 101, max: 1_000_000 }), closed: fc.boolean(), array: fc.boolean() })
  .map(({ depth, closed, array }): Bomb => {
    const [open, shut] = array ? ['[', ']'] : ['{"a":', '}']
    const levels = Math.min(depth, Math.floor((MANIFEST_MAX - 200) / (open.length + 1)))
    const inside = `${open.repeat(levels)}${array ? '' : '1'}${closed ? shut.repeat(levels) : ''}`
    return { body: Buffer.from(index(`"manifests":[],"x":${inside}`)), type: INDEX, right: [400] }
  })

const long = fc
  .record({ count: fc.integer({ min: 1, max: 20_000 }), same: fc.boolean(), image: fc.boolean(), bad: fc.boolean() })
  .map(({ count, same, image, bad }): Bomb => {
    const entries = Array.from({ length: count }, (_, at) => descriptor(same ? 0 : at))
    if (bad) entries.push('{"mediaType":"x"}')
    const body = image
      ? `{"schemaVersion":2,"config":${descriptor(0)},"layers":[${entries}]}`
      : index(`"manifests":[${entries}]`)
    const tooMany = !same && count > REFERENCES_MAX
    return { body: Buffer.from(body), type: image ? IMAGE : INDEX, right: image || bad || tooMany ? [400] : [201] }
  })

const wide = fc
  .record({ count: fc.integer({ min: 1, max: 120_000 }), value: fc.constantFrom('1', '{}', '[]', '""', 'null') })
  .map(({ count, value }): Bomb => {
    const members = Array.from({ length: count }, (_, at) => `"k${at}":${value}`)
    const values = count * (value === '{}' || value === '[]' ? 2 : 1) + 5
    const right = values > 100_000 ? [400] : values > 99_000 ? [201, 400] : [201]
    return { body: Buffer.from(index(`"manifests":[],${members}`)), type: INDEX, right }
  })

const words = fc.constantFrom('a', '\\u0041', '\\ud800', 'é', '\\"', ' ', '\\u0000')
const string = fc.record({ word: words, size: fc.integer({ min: 0, max: 4_000_000 }) }).map(({ word, size }): Bomb => {
  const text = word.repeat(Math.floor(size / Buffer.byteLength(word)))
  return { body: Buffer.from(index(`"manifests":[],"annotations":{"x":"${text}"}`)), type: INDEX, right: [201] }
})

const number = fc
  .record({ start: fc.constantFrom('', '-', '0.', '1e', '1e-'), size: fc.integer({ min: 1, max: 100_000 }) })
  .map(({ start, size }): Bomb => {
    const body = index(`"manifests":[{"mediaType":"a/b","digest":"${digest(1)}","size":${start}${'7'.repeat(size)}}]`)
    return { body: Buffer.from(body), type: INDEX, right: [201, 400] }
  })

/** One each, with what is right for it. */
const singular = fc
  .constantFrom<[string | Buffer, number]>(
    ['{"schemaVersion":1,"schemaVersion":2,"manifests":[1],"manifests":[]}', 201],
    [
      index(`"manifests":[],"__proto__":{"mediaType":"x","subject":{}},"constructor":{"prototype":{"manifests":1}}`),
      201
    ],
    [index(`"manifests":[],"annotations":{"__proto__":"a","constructor":"b","toString":"c"}`), 201],
    [index(`"manifests":[],"annotations":{"__proto__":{}}`), 400],
    [index(`"__proto__":{"manifests":[]}`), 400],
    [index(`"manifests":[],"subject":${descriptor(1)},"annotations":{"__proto__":"a"}`), 201],
    [index('"manifests":[{"mediaType":"a","digest":"sha256:__proto__","size":1}]'), 400],
    [index('"manifests":{"length":4294967295}'), 400],
    [index('"manifests":[],"artifactType":["a"]'), 400],
    [Buffer.from([0xef, 0xbb, 0xbf, ...Buffer.from(index('"manifests":[]'))]), 400],
    [Buffer.from(index('"manifests":[],"x":"\xff\xfe"'), 'latin1'), 400],
    [Buffer.from(index('"manifests":[],"x":"\xc0\xaf"'), 'latin1'), 400],
    [Buffer.from(index('"manifests":[]'), 'utf16le'), 400],
    [index(`"manifests":[],"x":"${'\\'}`), 400],
    ['', 400],
    ['null', 400],
    ['[]', 400],
    ['"x"', 400],
    [`{"schemaVersion":2,"mediaType":"application/${'x'.repeat(300)}+json"}`, 400]
  )
  .map(([body, status]): Bomb => ({ body: Buffer.from(body), type: '', right: [status] }))

const tooLarge = fc
  .integer({ min: MANIFEST_MAX + 1, max: MANIFEST_MAX + 100 })
  .map((size): Bomb => ({ body: Buffer.alloc(size, '['), type: INDEX, right: [413] }))

const bomb = fc.oneof(nested, long, wide, string, number, { arbitrary: singular, weight: 3 }, tooLarge)
