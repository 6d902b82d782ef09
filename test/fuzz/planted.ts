import { execFile } from 'node:child_process'
import { mkdir, readdir, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import fc from 'fast-check'
import { imagePushes, pushImage } from '../reliability/pushes.ts'
import { judge } from './judge.ts'
import { fuzz, type Target } from './target.ts'
import { openWire } from './wire.ts'

/** ms within which everything is answered: what is opened and waits for another end would wait for ever. */
const PATIENCE_MS = 20_000

type Plant = (path: string, outside: string) => Promise<unknown>

const plants: Record<string, Plant> = {
  'a link to a folder': (path, outside) => symlink(outside, path),
  'a link to a file': (path, outside) => symlink(join(outside, 'secret'), path),
  'a link to itself': path => symlink(path, path),
  'a link to nothing': (path, outside) => symlink(join(outside, 'nothing'), path),
  'a link upwards': path => symlink('..', path),
  'a link to /etc/passwd': path => symlink('/etc/passwd', path),
  'a link to a device': path => symlink('/dev/zero', path),
  'a FIFO': path => promisify(execFile)('mkfifo', [path])
}

/** What an operator's log says of each of them. */
export const EXPLAINED = /symbolic link|a FIFO|ENOTDIR: not a directory|is missing/

/**
 * Puts something else in the place of a folder or file of the store, asks for all that could lead there, and puts the
 * part back. Nothing beside the store may change, and nothing from there be told.
 */
export async function fuzzPlanted(target: Target): Promise<string> {
  const outside = join(dirname(target.parent), 'outside')
  await mkdir(outside, { recursive: true })
  await writeFile(join(outside, 'secret'), 'root:secret')
  const before = await census(outside)
  const answered = new Map<number, number>()
  let round = 0
  const planted = await fuzz(
    target,
    fc.record({ at: fc.nat(), plant: fc.constantFrom(...Object.keys(plants)) }),
    async choice => {
      const push = imagePushes(round++ + 100)[0]!
      const paths: string[] = []
      await pushImage(
        push,
        () => target.server.url,
        part => void paths.push(part.path)
      )
      const parts = (await readdir(target.storage, { recursive: true }))
        .filter(part => !part.includes('/') || part.startsWith(`repositories/${push.repository}`))
        .sort()
      const part = parts[choice.at % parts.length]!
      const place = join(target.storage, part)
      const aside = join(outside, '..', 'aside')
      await rename(place, aside)
      try {
        await plants[choice.plant]!(place, outside)
        await Promise.all(requestsFor(push.repository, paths).map(request => ask(target, request, answered)))
      } catch (error) {
        throw new Error(`${part} is ${choice.plant}: ${error instanceof Error ? error.message : error}`)
      } finally {
        await rm(place, { recursive: true, force: true })
        await rename(aside, place)
      }
      if ((await census(outside)) !== before)
        throw new Error(`${part} is ${choice.plant}: something outside has changed`)
    }
  )
  const statuses = [...answered].sort(([a], [b]) => a - b).map(([status, count]) => `${status}: ${count}`)
  return `${planted} planted, answers ${statuses.join(', ')}`
}

async function census(folder: string): Promise<string> {
  const names = (await readdir(folder, { recursive: true })).sort()
  const lines = await Promise.all(names.map(async name => `${name} ${(await stat(join(folder, name))).mtimeMs}`))
  return lines.join('\n')
}

interface Asked {
  method: string
  path: string
  body?: string
}

function requestsFor(repository: string, paths: readonly string[]): Asked[] {
  const reads = paths.flatMap(path => [
    { method: 'GET', path },
    { method: 'HEAD', path }
  ])
  return [
    ...reads,
    { method: 'GET', path: `/v2/${repository}/tags/list` },
    { method: 'GET', path: '/v2/_catalog' },
    { method: 'POST', path: `/v2/${repository}/blobs/uploads/?digest=sha256:${'0'.repeat(64)}`, body: 'x' },
    { method: 'PUT', path: `/v2/${repository}/manifests/planted`, body: '{"schemaVersion":2,"manifests":[]}' },
    { method: 'DELETE', path: `/v2/${repository}/manifests/planted` },
    { method: 'DELETE', path: `/v2/${repository}/manifests/latest` },
    { method: 'DELETE', path: paths[0]! }
  ]
}

async function ask({ server, parent }: Target, { method, path, body = '' }: Asked, answered: Map<number, number>) {
  const wire = openWire(server.port, () => method === 'HEAD')
  wire.send(
    Buffer.from(
      `${method} ${path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n${body}`
    )
  )
  try {
    const { answers } = await wire.answers({ answers: 1, silenceMs: PATIENCE_MS })
    const [answer] = answers
    if (answer === undefined) throw new Error('no answer')
    answered.set(answer.status, (answered.get(answer.status) ?? 0) + 1)
    judge(answer, { method, secret: parent, faults: [500, 503] })
    if (answer.body.includes('root:')) throw new Error('tells what lies outside')
  } catch (error) {
    throw new Error(`${method} ${path}: ${error instanceof Error ? error.message : error}`)
  } finally {
    wire.end()
  }
}
