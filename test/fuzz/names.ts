import { createHash } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { judge } from './judge.ts'
import { fuzz, type Target } from './target.ts'
import { openWire } from './wire.ts'

const body = Buffer.from('{"schemaVersion":2,"manifests":[]}')
const digestOf = (bytes: Uint8Array): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`

/** Every file that the registry may have, as docs/storage.md spells its key. */
const component = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*'
const folder = '(?:sha256/[0-9a-f]{64}|sha512/[0-9a-f]{128})'
const flat = '(?:sha256-[0-9a-f]{64}|sha512-[0-9a-f]{128})'
const tag = '[A-Za-z0-9_][A-Za-z0-9._-]{0,127}'
const uuid = '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}'
const layout = new RegExp(
  `^(?:${[
    `content/[0-9a-f]{2}/${uuid}`,
    `repositories/${component}(?:/${component})*/(?:${[
      `_blobs/${folder}/[0-9a-f]{16}\\.${uuid}\\.\\d+`,
      `_manifests/${folder}/[0-9a-f]{12}\\.[0-9a-f]{16}\\.\\d+`,
      `_tags/${tag}!/[0-9a-f]{12}\\.[0-9a-f]{16}\\.${flat}`,
      `_tagged/${folder}/${tag}\\.[0-9a-f]{16}`,
      `_referrers/${folder}/[0-9a-f]{32}\\.${flat}\\.[0-9a-f]{16}\\.\\d+`
    ].join('|')})`,
    'digests/sha(?:256/[0-9a-f]{2}/[0-9a-f]{64}|512/[0-9a-f]{2}/[0-9a-f]{128})',
    'catalog/[a-z0-9_!()]+',
    'claims/[0-9a-f]{2}/[0-9a-f]{64}',
    `ended/[0-9a-f]{2}/${uuid}`,
    `gc/(?:lease|orphans/[0-9a-f]{2}/${uuid})`,
    '\\.reserve/\\d',
    'system/[a-z-]+',
    `uploads/${uuid}/[\\w-]+\\.[\\w-]+\\.[rw]`
  ].join('|')})$`
)

/** Sends requests with names of every spelling, and looks after each batch at what is in the folder and around it. */
export async function fuzzNames(target: Target): Promise<string> {
  const { port } = target.server
  const answered = new Map<number, number>()
  const batches = await fuzz(target, fc.array(hostileTarget, { minLength: 16, maxLength: 64 }), async requests => {
    await Promise.all(requests.map(request => ask(port, request, target.parent, answered)))
    await isTidy(target)
  })
  const statuses = [...answered].sort(([a], [b]) => a - b).map(([status, count]) => `${status}: ${count}`)
  return `${batches} batches, answers ${statuses.join(', ')}`
}

interface HostileTarget {
  method: string
  target: string
}

async function ask(port: number, { method, target }: HostileTarget, secret: string, answered: Map<number, number>) {
  const wire = openWire(port, () => method === 'HEAD')
  const sent = method === 'PUT' || method === 'POST' || method === 'PATCH' ? body : Buffer.alloc(0)
  wire.send(
    Buffer.concat([
      Buffer.from(
        `${method} ${target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: ${sent.length}\r\n\r\n`,
        'latin1'
      ),
      sent
    ])
  )
  try {
    const { answers } = await wire.answers({ answers: 1, silenceMs: 20_000 })
    const [answer] = answers
    if (answer === undefined) throw new Error('no answer')
    answered.set(answer.status, (answered.get(answer.status) ?? 0) + 1)
    judge(answer, { method, secret })
  } catch (error) {
    throw new Error(`${error instanceof Error ? error.message : error}\nto ${method} ${JSON.stringify(target)}`)
  } finally {
    wire.end()
  }
}

async function isTidy({ parent, storage }: Target): Promise<void> {
  const around = await readdir(parent)
  if (around.length !== 1) throw new Error(`beside the registry's folder there are ${around}`)
  for (const entry of await readdir(storage, { recursive: true, withFileTypes: true })) {
    const key = join(entry.parentPath, entry.name).slice(storage.length + 1)
    if (entry.isFile() && !key.startsWith('tmp/') && !layout.test(key)) throw new Error(`a file that is no key: ${key}`)
    if (!entry.isFile() && !entry.isDirectory()) throw new Error(`neither a file nor a folder: ${key}`)
  }
}

const dots = ['.', '..', '...', '%2e', '%2e%2e', '%252e%252e', '.%2e', '%c0%ae%c0%ae', '%e0%80%ae', '\uff0e\uff0e']
const slashes = ['/', '//', '%2f', '%2F', '%252f', '%5c', '\\', '%c0%af', '%2f%2f', '\u2215']
const odd = [
  '%00',
  '%0a',
  '%0d%0aX:%20y',
  ';',
  ';a=b',
  '%3b',
  '%20',
  '+',
  '~',
  '!',
  '*',
  ':',
  '@',
  '%',
  '%zz',
  '%ff',
  '%u002e'
]
const words = [
  'a',
  'A',
  'fuzz',
  '_blobs',
  '_manifests',
  'blobs',
  'manifests',
  'tags',
  'list',
  'uploads',
  'referrers',
  'con',
  'nul'
]
const more = [
  'etc',
  'passwd',
  'system',
  'upload-key',
  'tmp',
  'x'.repeat(255),
  'x'.repeat(256),
  'é',
  '%C3%A9',
  'a.b',
  'a__b',
  'a-',
  '.a',
  '__proto__'
]

const latin = (text: string): string => Buffer.from(text).toString('latin1')
const piece = fc.oneof(
  { arbitrary: fc.constantFrom(...words, ...more), weight: 6 },
  { arbitrary: fc.constantFrom(...dots), weight: 3 },
  { arbitrary: fc.constantFrom(...slashes), weight: 5 },
  { arbitrary: fc.constantFrom(...odd), weight: 1 },
  { arbitrary: fc.string({ maxLength: 8 }).map(text => encodeURIComponent(text)), weight: 1 }
)
const spelling = fc.array(piece, { minLength: 1, maxLength: 8 }).map(pieces => latin(pieces.join('')))
const name = fc.oneof(spelling, fc.constantFrom('fuzz', 'a/b', 'a%2fb', 'fuzz/../a', '%2e%2e/a', 'A', 'a'))
const known = digestOf(body)
const digest = fc.oneof(
  fc.constantFrom(
    known,
    known.toUpperCase(),
    known.replace(':', '%3A'),
    `${known}0`,
    known.slice(0, -1),
    'sha512:',
    'md5:ab'
  ),
  spelling.map(text => `sha256:${text}`),
  spelling
)
const reference = fc.oneof(
  spelling,
  digest,
  fc.constantFrom('v1', 'V1', '_', '.v1', 'v1!', 'x'.repeat(128), 'x'.repeat(129))
)

const hostileTarget: fc.Arbitrary<HostileTarget> = fc
  .record({
    method: fc.constantFrom('GET', 'HEAD', 'PUT', 'POST', 'PATCH', 'DELETE'),
    name,
    digest,
    reference,
    endpoint: fc.constantFrom('blobs', 'manifests', 'tags', 'uploads', 'upload', 'referrers', 'catalog', 'bare')
  })
  .map(({ method, name, digest, reference, endpoint }) => ({
    method,
    target: targetOf(endpoint, name, digest, reference)
  }))
  // A space ends the target: what follows is the version, and the request another one.
  .filter(({ target }) => /^[!-~\x80-\xff]+$/.test(target))

function targetOf(endpoint: string, name: string, digest: string, reference: string): string {
  switch (endpoint) {
    case 'blobs':
      return `/v2/${name}/blobs/${digest}`
    case 'manifests':
      return `/v2/${name}/manifests/${reference}?tag=${reference}`
    case 'tags':
      return `/v2/${name}/tags/list?last=${reference}`
    case 'uploads':
      return `/v2/${name}/blobs/uploads/?digest=${digest}&mount=${digest}&from=${reference}`
    case 'upload':
      return `/v2/${name}/blobs/uploads/${reference}?digest=${digest}`
    case 'referrers':
      return `/v2/${name}/referrers/${digest}?last=${digest}`
    case 'catalog':
      return `/v2/_catalog?last=${name}`
    default:
      return `/${name}`
  }
}
