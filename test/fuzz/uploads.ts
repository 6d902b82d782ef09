import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { type Answer, send } from '../reliability/http.ts'
import { htpasswdOf, passwordOf } from '../support/callers.ts'
import { digestOf } from '../support/images.ts'
import { watchOthers } from './others.ts'
import { fuzz, type Target } from './target.ts'

const QUOTA = 256 * 1024
/** Largest body of one request. */
const MOST = 96 * 1024

const POLICY = `
rules:
  - {anonymous: true, repositories: ['group-*/**'], actions: [pull, push]}
  - {users: [alice, bob], repositories: ['shared/**'], actions: ['*']}
  - {users: [alice], repositories: ['alice/**'], actions: ['*']}
`

export async function prepareUploads(folder: string): Promise<Record<string, string>> {
  await writeFile(join(folder, 'users'), await htpasswdOf('alice', 'bob'))
  await writeFile(join(folder, 'policy.yaml'), POLICY)
  return {
    AUTH_HTPASSWD_FILE: join(folder, 'users'),
    AUTH_POLICY_FILE: join(folder, 'policy.yaml'),
    QUOTA_BYTES: `shared/**=${QUOTA}`
  }
}

type User = 'alice' | 'bob'

interface Session {
  owner: User
  repository: string
  location: string
  bytes: Buffer
}

interface Step {
  user: User
  /** Which open session, and which of the ways below. */
  session: number
  way: 'begin' | 'single' | 'patch' | 'close' | 'close with the rest' | 'state' | 'cancel' | 'mount'
  size: number
  chunked: boolean
}

/**
 * Two users do what they like with uploads in one repository below a quota. Whoever did not begin an upload learns nothing
 * of it and changes nothing; its owner always can, but for the quota; and the repository never takes more than the quota
 * and one body.
 */
export async function fuzzUploads(target: Target): Promise<string> {
  const beside = watchOthers(target.server.url)
  let number = 0
  const answered = new Map<string, number>()
  const runs = await fuzz(target, fc.array(step, { minLength: 5, maxLength: 40 }), async steps => {
    const repository = `shared/run-${number++}`
    const world = openWorld(target.server.url, repository)
    for (const step of steps) {
      const status = await world.take(step)
      const key = `${step.way} ${status}`
      answered.set(key, (answered.get(key) ?? 0) + 1)
    }
    await world.burst()
    if (world.stored() > QUOTA + MOST) throw new Error(`${world.stored()} bytes are stored, ${QUOTA} are allowed`)
  })
  const counts = [...answered].sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, count]) => `${key}: ${count}`)
  return `${runs} runs, ${counts.join(', ')}; ${await beside.end()}`
}

function openWorld(url: string, repository: string) {
  const sessions: Session[] = []
  let secret: string | undefined
  let committed = 0

  const ask = (user: User, method: string, path: string, body?: Buffer, chunked = false): Promise<Answer> => {
    const authorization = `Basic ${Buffer.from(`${user}:${passwordOf(user)}`).toString('base64')}`
    const length = body && !chunked ? { 'content-length': body.length } : {}
    return send(path.startsWith('http') ? path : url + path, {
      method,
      headers: { authorization, ...length },
      ...(body && { body: chunked ? [body] : body })
    })
  }
  const must = (answer: Answer, step: Step, ...statuses: number[]): number => {
    if (statuses.includes(answer.status)) return answer.status
    throw new Error(`${JSON.stringify(step)}: ${answer.status}, not ${statuses.join(' or ')}\n${answer.body}`)
  }
  const absolute = (answer: Answer): string => new URL(String(answer.headers.location), url).href
  const withDigest = (location: string, digest: string): string => {
    const at = new URL(location)
    at.searchParams.set('digest', digest)
    return at.href
  }

  async function begin(step: Step): Promise<number> {
    const answer = await ask(step.user, 'POST', `/v2/${repository}/blobs/uploads/`)
    const status = must(answer, step, 202, 403)
    if (status === 202)
      sessions.push({ owner: step.user, repository, location: absolute(answer), bytes: Buffer.alloc(0) })
    return status
  }

  async function single(step: Step): Promise<number> {
    const bytes = randomBytes(step.size)
    const path = `/v2/${repository}/blobs/uploads/?digest=${digestOf(bytes)}`
    const status = must(await ask(step.user, 'POST', path, bytes, step.chunked), step, 201, 403)
    if (status === 201) committed += bytes.length
    return status
  }

  /** bob may not read `alice/**`: a mount from there is an upload like any other. */
  async function mount(step: Step): Promise<number> {
    if (secret === undefined) {
      const bytes = randomBytes(100)
      secret = digestOf(bytes)
      const path = `/v2/alice/${repository.slice('shared/'.length)}/blobs/uploads/?digest=${secret}`
      must(await ask('alice', 'POST', path, bytes), step, 201)
    }
    const from = `alice/${repository.slice('shared/'.length)}`
    const answer = await ask('bob', 'POST', `/v2/${repository}/blobs/uploads/?mount=${secret}&from=${from}`)
    const status = must(answer, step, 202, 403)
    if (status === 202) sessions.push({ owner: 'bob', repository, location: absolute(answer), bytes: Buffer.alloc(0) })
    return status
  }

  async function withSession(step: Step): Promise<number> {
    const session = sessions[step.session % Math.max(1, sessions.length)]
    if (!session) return begin(step)
    const mine = session.owner === step.user
    const body = randomBytes(step.size)
    const end = () => void sessions.splice(sessions.indexOf(session), 1)
    switch (step.way) {
      case 'state':
        return must(await ask(step.user, 'GET', session.location), step, mine ? 204 : 404)
      case 'cancel': {
        const status = must(await ask(step.user, 'DELETE', session.location), step, mine ? 204 : 404)
        if (mine) end()
        return status
      }
      case 'patch': {
        const answer = await ask(step.user, 'PATCH', session.location, body, step.chunked)
        const status = must(answer, step, ...(mine ? [202, 403] : [404]))
        if (status === 202)
          Object.assign(session, { location: absolute(answer), bytes: Buffer.concat([session.bytes, body]) })
        // What was refused may have been stored in part: nobody goes on with it.
        if (status === 403) end()
        return status
      }
      default: {
        const rest = step.way === 'close' ? Buffer.alloc(0) : body
        const whole = Buffer.concat([session.bytes, rest])
        const url = withDigest(session.location, digestOf(whole))
        const status = must(await ask(step.user, 'PUT', url, rest, step.chunked), step, ...(mine ? [201, 403] : [404]))
        if (status === 201) committed += whole.length
        if (mine) end()
        return status
      }
    }
  }

  /** Many whole blobs at the same moment. */
  async function burst(): Promise<void> {
    const all = Array.from({ length: 8 }, (_, at): Step => {
      return { user: at % 2 === 0 ? 'alice' : 'bob', session: 0, way: 'single', size: MOST, chunked: at % 3 === 0 }
    })
    await Promise.all(all.map(single))
  }

  return {
    burst,
    stored: () => committed,
    take: (step: Step): Promise<number> =>
      step.way === 'begin'
        ? begin(step)
        : step.way === 'single'
          ? single(step)
          : step.way === 'mount'
            ? mount(step)
            : withSession(step)
  }
}

const step: fc.Arbitrary<Step> = fc.record({
  user: fc.constantFrom('alice' as const, 'bob' as const),
  session: fc.nat({ max: 7 }),
  way: fc.constantFrom('begin', 'single', 'patch', 'patch', 'close', 'close with the rest', 'state', 'cancel', 'mount'),
  size: fc.integer({ min: 0, max: MOST }),
  chunked: fc.boolean()
})
