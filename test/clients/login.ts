/** Logs real clients in, and sees that nobody else may push or pull what is not theirs. Counts its checks. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { withScratch } from '../reliability/scratch.ts'
import { startServer } from '../reliability/server-process.ts'
import { htpasswdOf, passwordOf } from '../support/callers.ts'
import { type Client, createClient } from './client.ts'
import { startDaemon } from './containerd.ts'
import { buildSamples, type Samples } from './images.ts'
import { type Rules, startProvider } from './provider.ts'
import { createRegistry } from './registry.ts'

/** How one program logs in, pushes and pulls. Each throws where the registry refuses. */
interface Program {
  login(user: string, password: string): Promise<unknown>
  logout(): Promise<unknown>
  push(repository: string): Promise<unknown>
  pull(repository: string): Promise<unknown>
  /** It tells no reason but the status. */
  terse?: boolean
  /** Gives back what it holds of the folder. */
  end?(): Promise<unknown>
}

type Make = (client: Client, samples: Samples) => Program

const skopeo: Make = ({ host, folder, run }, { layout }) => {
  const env = { REGISTRY_AUTH_FILE: join(folder, 'auth.json') }
  const skopeo = (...args: string[]) => run('skopeo', args, { env })
  let pulls = 0
  return {
    login: (user, password) => skopeo('login', '--tls-verify=false', '-u', user, '-p', password, host),
    logout: () => skopeo('logout', host),
    push: to => skopeo('copy', '--dest-tls-verify=false', `oci:${layout}:hello`, `docker://${host}/${to}:v1`),
    pull: from =>
      skopeo('copy', '--src-tls-verify=false', `docker://${host}/${from}:v1`, `oci:${folder}/pulled-${++pulls}`)
  }
}

const podman: Make = ({ host, folder, run }, { files }) => {
  // Below it podman keeps who is logged in; the file itself must be there when it is named.
  const env = { XDG_RUNTIME_DIR: folder }
  const storage = ['--root', `${folder}/root`, '--runroot', `${folder}/run`, '--storage-driver', 'overlay']
  const podman = (...args: string[]) => run('podman', [...storage, ...args], { env })
  return {
    login: (user, password) => podman('login', '--tls-verify=false', '-u', user, '-p', password, host),
    logout: () => podman('logout', host),
    push: async to => {
      const image = `${host}/${to}:v1`
      await writeFile(join(folder, 'Containerfile'), 'FROM scratch\nCOPY hello message.txt /\n')
      const recipe = ['--file', join(folder, 'Containerfile'), '--tag', image]
      await podman('build', '--quiet', '--isolation', 'chroot', ...recipe, files)
      await podman('push', '--quiet', '--tls-verify=false', image)
    },
    pull: from => podman('pull', '--quiet', '--tls-verify=false', `${host}/${from}:v1`),
    end: () => podman('rmi', '--all', '--force')
  }
}

const crane: Make = ({ host, folder, run }, { layout }) => {
  const crane = (...args: string[]) => run('crane', ['--insecure', ...args])
  return {
    login: async (user, password) => {
      // crane only notes what it is told.
      await run('crane', ['auth', 'login', '-u', user, '-p', password, host])
      await crane('catalog', host)
    },
    logout: () => run('crane', ['auth', 'logout', host]),
    push: to => crane('push', '--index', layout, `${host}/${to}:v1`),
    pull: from => crane('pull', '--format', 'oci', `${host}/${from}:v1`, join(folder, 'pulled'))
  }
}

const oras: Make = ({ host, folder, run }, { layout }) => ({
  login: (user, password) => run('oras', ['login', '--plain-http', '-u', user, '-p', password, host]),
  logout: () => run('oras', ['logout', host]),
  push: to => run('oras', ['cp', '--from-oci-layout', '--to-plain-http', `${layout}:hello`, `${host}/${to}:v1`]),
  pull: from => run('oras', ['cp', '--from-plain-http', '--to-oci-layout', `${host}/${from}:v1`, `${folder}/pulled:v1`])
})

const regctl: Make = ({ host, folder, run }, { layout }) => ({
  login: async (user, password) => {
    await run('regctl', ['registry', 'set', '--tls', 'disabled', '--skip-check', host])
    await run('regctl', ['registry', 'login', host, '-u', user, '--pass-stdin'], { input: password })
  },
  logout: () => run('regctl', ['registry', 'logout', host]),
  push: async to => {
    await run('regctl', ['registry', 'set', '--tls', 'disabled', '--skip-check', host])
    await run('regctl', ['image', 'copy', `ocidir://${layout}:hello`, `${host}/${to}:v1`])
  },
  pull: from => run('regctl', ['image', 'copy', `${host}/${from}:v1`, `ocidir://${folder}/pulled:v1`])
})

const helm: Make = ({ host, folder, run }) => ({
  login: (user, password) => run('helm', ['registry', 'login', '--plain-http', '-u', user, '-p', password, host]),
  logout: () => run('helm', ['registry', 'logout', host]),
  push: async to => {
    await run('helm', ['create', 'v1']).catch(() => undefined) // it is there from the push before
    await run('helm', ['package', 'v1'])
    await run('helm', ['push', '--plain-http', 'v1-0.1.0.tgz', `oci://${host}/${to}`])
  },
  pull: from => run('helm', ['pull', '--plain-http', `oci://${host}/${from}/v1`, '--destination', folder])
})

/** It keeps no login: it is told with each command who it is. */
const containerd: Make = (client, { layout }) => {
  const { host, folder, run } = client
  const socket = join(folder, 'containerd.sock')
  const ctr = (...args: string[]) => run('ctr', ['--address', socket, ...args])
  let stop: (() => Promise<unknown>) | undefined
  let identity: string[] = []
  const started = async () => (stop ??= await startDaemon(client, socket))
  const login = async (user: string, password: string) => {
    identity = ['--user', `${user}:${password}`]
    await started()
    await ctr('images', 'pull', '--plain-http', ...identity, `${host}/team/absent:v1`).catch((error: Error) => {
      // Who is known and may not see it is told so.
      if (!/not found|403/.test(error.message)) throw error
    })
  }
  return {
    login,
    logout: async () => {
      identity = []
    },
    push: async to => {
      await started()
      const archive = join(folder, 'samples.tar')
      await run('tar', ['-C', layout, '-cf', archive, '.'])
      const base = ['--snapshotter', 'native', '--all-platforms', '--base-name', `${host}/${to}`]
      await ctr('images', 'import', ...base, archive)
      await ctr('images', 'push', '--plain-http', ...identity, `${host}/${to}:v1`, `${host}/${to}:hello`)
    },
    pull: from => ctr('images', 'pull', '--plain-http', '--snapshotter', 'native', ...identity, `${host}/${from}:v1`),
    terse: true,
    end: async () => stop?.()
  }
}

const programs: Record<string, Make> = { skopeo, podman, containerd, crane, oras, regctl, helm }

/** `team` may be read and written by alice alone, `public` be read by everybody, `full` hold nothing; a robot has `robots`. */
async function checkProgram(
  client: Client,
  { login, logout, push, pull, terse }: Program,
  name: string,
  token: string | undefined
): Promise<void> {
  const { check } = client
  const [team, open] = [`team/${name}`, `public/${name}`]
  await check('pushes nothing without a login', () => refused(push(team)))
  await check('logs in with no other password', () => refused(login('alice', passwordOf('bob'))))
  await check('logs in, pushes and pulls', async () => {
    await login('alice', passwordOf('alice'))
    for (const repository of [team, open]) await push(repository)
    await pull(team)
  })
  await check('pulls nothing secret without a login, and what is open', async () => {
    await logout()
    await refused(pull(team))
    await pull(open)
  })
  await check('may not push as somebody who may only pull', async () => {
    await login('bob', passwordOf('bob'))
    await pull(team)
    // What is there already, some clients don't push again.
    await refused(push(`${team}/more`))
  })
  const asRobot = async (token: string) => {
    await login('robot', token)
    await push(`robots/${name}`)
    await pull(`robots/${name}`)
    await refused(push(`${team}/more`))
  }
  if (token !== undefined) await check('logs in as a robot, which may do what its token names', () => asRobot(token))
  await check('tells what a quota allows', async () => {
    await login('alice', passwordOf('alice'))
    // The first one has it counted, and nobody waits for that.
    await push(`full/${name}`).catch(() => undefined)
    await refused(push(`full/${name}`), terse ? /403/ : /it may hold 0 bytes/)
  })
}

const DENIED =
  /401|403|unauthorized|denied|authorization failed|authentication required|credential not found|invalid username/i

async function refused(work: Promise<unknown>, words = DENIED): Promise<void> {
  const reason = await work.then(
    () => undefined,
    (error: Error) => error.message
  )
  assert.ok(reason !== undefined, 'it was let through')
  assert.match(reason, words)
}

const POLICY = `
rules:
  - {users: [alice], repositories: ['**'], actions: ['*']}
  - {users: [bob], repositories: [team/**], actions: [pull]}
  - {anonymous: true, repositories: [public/**], actions: [pull]}
`

const wanted = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(programs)

/**
 * A provider's private address is one that some clients send no password to unless it is the registry's own too: crane
 * compares its port as well but takes names, oras looks where a name leads but at no port.
 */
const NAMED = 'named-provider'

/** Whether a program is tried with a way of logging in. */
const suits = (name: string, scheme: string): boolean =>
  !scheme.endsWith('provider') || (name === 'crane') === (scheme === NAMED)

/** As the policy has it. */
const providerRules: Rules = (user, repository, action) =>
  user === 'alice' ||
  (user === 'bob' && repository === 'catalog') ||
  (action === 'pull' && ((user === 'bob' && repository.startsWith('team/')) || repository.startsWith('public/')))

await withScratch(15, async (checks, scratch) => {
  const { folder, storage, log } = scratch
  const [users, policy] = [join(folder, 'users'), join(folder, 'policy.yaml')]
  await writeFile(users, await htpasswdOf('alice', 'bob'))
  await writeFile(policy, POLICY)
  const samples = await buildSamples(folder)
  const own = { AUTH_HTPASSWD_FILE: users, AUTH_POLICY_FILE: policy, AUTH_ROBOT_TOKENS: 'true' }
  const schemes: Record<string, Record<string, string>> = {
    passwords: own,
    tokens: { ...own, AUTH_TOKEN_ISSUER: 'self' },
    provider: await startProvider(folder, '127.0.0.1', providerRules),
    [NAMED]: await startProvider(folder, 'localhost', providerRules)
  }
  const secrets: [user: string, secret: string][] = [
    ['alice', passwordOf('alice')],
    ['bob', passwordOf('bob')]
  ]
  for (const [scheme, access] of Object.entries(schemes)) {
    const env = { STORAGE_PATH: `${storage}-${scheme}`, LOG_LEVEL: 'trace', QUOTA_BYTES: 'full/**=0', ...access }
    const { url } = await startServer({ storage: env, log })
    // With a provider's tokens, clients take their passwords there.
    const token = 'AUTH_TOKEN_REALM' in access ? undefined : await createToken(env)
    if (token !== undefined) secrets.push(['robot', token])
    const registry = createRegistry(url)
    for (const name of wanted.filter(name => suits(name, scheme))) {
      const make = programs[name]
      if (make === undefined) throw new Error(`No client is called ${name}`)
      const client = await createClient({ name: `${name}-${scheme}`, url, scratch: folder, samples, registry, checks })
      const program = make(client, samples)
      await checkProgram(client, program, name, token)
      await program.end?.()
    }
  }
  await checks.check('the log has no password and no token in it', async () => {
    const text = await readFile(log, 'utf8')
    assert.ok(text.includes('"audit":true'))
    for (const [user, secret] of secrets) {
      for (const form of [secret, Buffer.from(`${user}:${secret}`).toString('base64')])
        assert.ok(!text.includes(form), user)
    }
    return undefined
  })
})

/** A robot's token, as an operator makes it beside the server. */
async function createToken(env: Record<string, string>): Promise<string> {
  const command = ['dist/src/cli.js', 'token', 'create', '--name', 'robot', '--repository', 'robots/**']
  const { stdout } = await promisify(execFile)(process.execPath, [...command, '--actions', 'pull,push'], {
    env: { ...process.env, ...env }
  })
  return stdout.trim()
}
