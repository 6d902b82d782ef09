import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { send } from '../reliability/http.ts'
import { judge } from './judge.ts'
import { watchOthers } from './others.ts'
import { fuzz, type Target } from './target.ts'

/** What takes a regular expression the longest: several stars, with what they may stand for between them. */
const POLICY = `
rules:
  - {anonymous: true, repositories: ['group-*/**'], actions: [pull, push]}
  - {anonymous: true, repositories: ['team/*-*-*', '**/dev/**/cache/**', '*a*a*a*a*b'], actions: [pull]}
  - {users: ['*'], repositories: ['**-**-**-**-**x'], actions: ['*']}
`

export async function preparePatterns(folder: string): Promise<Record<string, string>> {
  const policy = join(folder, 'policy.yaml')
  await writeFile(policy, POLICY)
  await writeFile(join(folder, 'users'), '')
  return {
    AUTH_HTPASSWD_FILE: join(folder, 'users'),
    AUTH_POLICY_FILE: policy,
    AUTH_TOKEN_ISSUER: 'self',
    IMMUTABLE_TAGS: '**-**-**-x:*-*-*-*-y,*a*a*a*a*b',
    QUOTA_BYTES: '*-*-*-*-x=1GiB,**/a/**/a/**/b=1GiB'
  }
}

/** Asks about names and tags that nearly match, of every length, while another client asks something small. */
export async function fuzzPatterns(target: Target): Promise<string> {
  const { url } = target.server
  const beside = watchOthers(url)
  const asked = await fuzz(target, question, async ({ method, path }) => {
    const headers = { 'content-type': 'application/vnd.oci.image.index.v1+json' }
    const body = method === 'PUT' ? Buffer.from('{"schemaVersion":2,"manifests":[]}') : undefined
    const answer = await send(url + path, { method, ...(body && { headers, body }) })
    const lines = Object.entries(answer.headers).map(([name, value]): [string, string] => [name, String(value)])
    judge({ status: answer.status, headers: lines, body: answer.body }, { method, secret: target.parent })
  })
  return `${asked} questions; ${await beside.end()}`
}

const unit = fc.constantFrom('-', 'a', '-a', '/dev/', '/cache/', '/a/', '/a/b', '--', '__', 'a-b/')
const start = fc.constantFrom('', 'team/', 'group-a/', 'x/dev/y/', 'a')
const end = fc.constantFrom('', '/x', 'b', '-y', '%0A', '/cache/x%0a', 'A')
/** As long as a head may be, and as a name may be. */
const times = fc.oneof(fc.integer({ min: 1, max: 120 }), fc.integer({ min: 1, max: 9000 }))
const name = fc.tuple(start, unit, times, end).map(([start, unit, times, end]) => {
  const most = Math.floor(40_000 / unit.length)
  return start + unit.repeat(Math.min(times, most)) + end
})
const tag = fc
  .tuple(fc.constantFrom('-', 'a', '-a'), fc.integer({ min: 1, max: 130 }))
  .map(([unit, times]) => unit.repeat(times))

const question = fc.oneof(
  name.map(name => ({ method: 'GET', path: `/v2/${name}/tags/list` })),
  name.map(name => ({ method: 'POST', path: `/v2/${name}/blobs/uploads/` })),
  name.map(name => ({
    method: 'POST',
    path: `/v2/group-a/x/blobs/uploads/?mount=sha256:${'0'.repeat(64)}&from=${name}`
  })),
  name.map(name => ({ method: 'GET', path: `/v2/token?scope=repository:${name}:pull,push` })),
  fc.tuple(name, tag).map(([name, tag]) => ({ method: 'PUT', path: `/v2/${name}/manifests/${tag}` })),
  tag.map(tag => ({ method: 'PUT', path: `/v2/group-a/a-a-a-x/manifests/_${tag}` }))
)
