import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Fastify, { type HTTPMethods } from 'fastify'
import t, { type Test } from 'tap'
import type { Action, RepositoryAction } from '../../src/access/caller.ts'
import { hashOf, makeToken } from '../../src/access/robot-token.ts'
import marina from '../../src/index.ts'
import { createRobots } from '../../src/registry/robots.ts'
import type { StorageDriver } from '../../src/storage/driver.ts'
import { createMemory } from '../../src/storage/memory.ts'
import { basic, clientOf, htpasswdOf, withHeaders } from '../support/callers.ts'
import { type Client, overInject, type Send } from '../support/client.ts'
import { endpoints } from '../support/endpoints.ts'
import { digestOf } from '../support/images.ts'

/** One user for each action, who may do that alone; both kinds of repository hold the same. */
const POLICY = `
groups:
  pullers: [member]
rules:
  - {groups: [pullers], repositories: [open/**], actions: [pull]}
  - {users: [puller], repositories: [open/**], actions: [pull]}
  - {users: [pusher], repositories: [open/**], actions: [push]}
  - {users: [deleter], repositories: [open/**], actions: [delete]}
  - {users: [owner], repositories: ['**'], actions: ['*']}
  - {anonymous: true, repositories: [public/**], actions: [pull]}
`
const USERS = ['puller', 'pusher', 'deleter', 'owner', 'nobody', 'member'] as const
/** Whose token lets them do one thing in the same repositories. */
const ROBOTS = ['pulling robot', 'pushing robot', 'deleting robot'] as const
const CALLERS = [...USERS, ...ROBOTS, 'anonymous', 'impostor'] as const
const REPOSITORIES = ['open/app', 'secret/app', 'public/app', 'open/absent', 'secret/absent'] as const

type Caller = (typeof CALLERS)[number]

/** What each request needs, as docs/access.md has it; written apart from the routes' own declarations. */
function needed(endpoint: string, method: string): Action {
  if (endpoint === 'base') return 'login'
  if (endpoint === 'catalog') return 'catalog'
  if (endpoint === 'uploads' || endpoint === 'upload' || method === 'PUT') return 'push'
  return method === 'DELETE' ? 'delete' : 'pull'
}

const MINE: Partial<Record<Caller, RepositoryAction>> = {
  puller: 'pull',
  member: 'pull',
  pusher: 'push',
  deleter: 'delete',
  'pulling robot': 'pull',
  'pushing robot': 'push',
  'deleting robot': 'delete'
}

function mayBe(caller: Caller, action: Action, repository: string): boolean {
  if (caller === 'impostor') return false
  if (action === 'login') return caller !== 'anonymous'
  if (action === 'catalog') return true // everybody may pull public/**
  const isRobot = ROBOTS.some(robot => robot === caller)
  if (caller === 'owner' || (!isRobot && action === 'pull' && repository.startsWith('public/'))) return true
  return MINE[caller] === action && repository.startsWith('open/')
}

async function robotOf(storage: StorageDriver, send: Send, robot: (typeof ROBOTS)[number]): Promise<Client> {
  const token = makeToken()
  const rights = { repositories: ['open/**'], actions: [MINE[robot]!], created: 0 }
  await createRobots(storage).create(hashOf(token), { name: robot.replace(' ', '-'), ...rights })
  return withHeaders(send, basic('robot', token))
}

async function build(t: Test) {
  const folder = t.testdir({ policy: POLICY })
  writeFileSync(join(folder, 'users'), await htpasswdOf(...USERS))
  const app = Fastify()
  t.teardown(() => app.close())
  const routes = new Set<string>()
  app.addHook('onRoute', ({ method, config }) => {
    for (const each of [method].flat() as HTTPMethods[]) routes.add(`${each} ${config?.path} ${config?.action}`)
  })
  const files = { htpasswdFile: join(folder, 'users'), policyFile: join(folder, 'policy') }
  const storage = createMemory()
  await app.register(marina, { storage, access: { ...files, robots: true, anonymous: 'none' } })
  await app.ready()
  const send = overInject(app)
  const clients = {
    ...Object.fromEntries(USERS.map(user => [user, clientOf(send, user)])),
    ...Object.fromEntries(await Promise.all(ROBOTS.map(async robot => [robot, await robotOf(storage, send, robot)]))),
    anonymous: clientOf(send, undefined),
    impostor: withHeaders(send, basic('owner', 'guessed'))
  } as Record<Caller, ReturnType<typeof clientOf>>
  return { routes, clients }
}

t.test('every route declares what docs/access.md says', async t => {
  const { routes } = await build(t)
  const paths: Record<string, string> = {
    blob: '/v2/{name}/blobs/{digest}',
    uploads: '/v2/{name}/blobs/uploads/',
    upload: '/v2/{name}/blobs/uploads/{session}',
    manifest: '/v2/{name}/manifests/{reference}',
    tags: '/v2/{name}/tags/list',
    referrers: '/v2/{name}/referrers/{digest}',
    base: '/v2/',
    catalog: '/v2/_catalog'
  }
  const reading = ['base', 'catalog'].map(endpoint => ({ endpoint, methods: ['GET', 'HEAD'] }))
  const expected = [...endpoints, ...reading].flatMap(({ endpoint, methods }) =>
    methods.map(method => `${method} ${paths[endpoint]} ${needed(endpoint, method)}`)
  )
  t.strictSame([...routes].sort(), expected.sort())
})

t.test('every endpoint, every caller, every repository: the policy decides and nothing else', async t => {
  const { clients } = await build(t)
  const blob = Buffer.from('x') // what the paths of `endpoints` name
  for (const name of ['open/app', 'secret/app', 'public/app']) {
    await clients.owner.pushImage(name, 'v1')
    t.equal(await clients.owner.pushBlob(name, blob), digestOf(blob))
  }
  const requests = [
    { endpoint: 'base', path: () => '/v2/', methods: ['GET', 'HEAD'] },
    { endpoint: 'catalog', path: () => '/v2/_catalog', methods: ['GET', 'HEAD'] },
    ...endpoints
  ].flatMap(({ endpoint, path, methods }) => methods.map(method => ({ endpoint, path, method })))
  // Those that may delete come last, so that there is something to be refused.
  for (const caller of [...CALLERS].sort((a, b) => Number(a === 'owner') - Number(b === 'owner'))) {
    for (const name of REPOSITORIES) {
      for (const { endpoint, path, method } of requests) {
        const allowed = mayBe(caller, needed(endpoint, method), name)
        const { status, headers } = await clients[caller].send(method, path(name))
        const unknown = caller === 'anonymous' || caller === 'impostor'
        const what = `${caller} ${method} ${path(name)}: ${status}`
        if (allowed) t.ok(status !== 401 && status !== 403 && status < 500, what)
        else t.equal(status, unknown ? 401 : 403, what)
        t.equal(headers['www-authenticate'] !== undefined, status === 401, what)
      }
    }
  }
})

t.test('what is forbidden and what is absent look the same', async t => {
  const { clients } = await build(t)
  await clients.owner.pushImage('secret/app', 'v1')
  for (const { path, methods } of endpoints) {
    for (const method of methods) {
      for (const caller of ['puller', 'nobody', 'anonymous'] as const) {
        const [there, absent] = await Promise.all(
          ['secret/app', 'secret/gone'].map(name => clients[caller].send(method, path(name)))
        )
        t.strictSame(
          { ...there, headers: { ...there!.headers, date: '' } },
          { ...absent, headers: { ...absent!.headers, date: '' } },
          `${caller} ${method}`
        )
      }
    }
  }
})
