/** Logs real clients in, and sees that nobody else may push or pull what is not theirs. Counts its checks. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { copyFile, mkdir, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs, promisify } from 'node:util'
import { withScratch } from '../reliability/scratch.ts'
import { startServer } from '../reliability/server-process.ts'
import { passwordOf } from '../support/callers.ts'
import { type Authority, createAuthority } from '../support/certificates.ts'
import { jobs, openIdIssuer } from '../support/oidc.ts'
import { type Client, createClient } from './client.ts'
import { buildSamples } from './images.ts'
import { certificatesOf, type Program, programs } from './programs.ts'
import { createRegistry } from './registry.ts'
import { schemesIn, suits } from './schemes.ts'

/** A program that logs in with a token as its password, and may do everything in one folder and nothing elsewhere. */
interface Machine {
  name: string
  folder: string
  token(): Promise<string>
}

interface Trial {
  name: string
  client: Client
  program: Program
  machines: readonly Machine[]
  /** The server's. */
  log: string
  /** It logs in with certificates and no passwords. */
  certified: boolean
  /** Who has not logged in is asked for a password, and not sent for a token. */
  basic: boolean
}

/** `team` may be read and written by alice alone, `public` be read by everybody, `full` hold nothing. */
async function checkProgram({ name, client, program, machines, log, certified, basic }: Trial): Promise<void> {
  const { check } = client
  const { login, logout, push, pull, terse, silent } = program
  const [team, open] = [`team/${name}`, `public/${name}`]
  const pushRefused = async (repository: string, asks = true) => {
    const bodies = await bodiesOf(log, repository, () => refused(push(repository)), asks)
    assert.deepEqual(bodies, [], 'requests with a body')
  }
  await check('pushes nothing without a login, and sends no body', () => pushRefused(team, silent !== true))
  if (!certified) await check('logs in with no other password', () => refused(login('alice', passwordOf('bob'))))
  await check('logs in, pushes and pulls', async () => {
    await login('alice', passwordOf('alice'))
    assert.notDeepEqual(await bodiesOf(log, team, () => push(team)), [])
    await push(open)
    await pull(team)
  })
  await check('pulls nothing secret without a login, and what is open', async () => {
    await logout()
    await refused(pull(team))
    if (!(basic && silent)) await pull(open)
  })
  await check('may not push as somebody who may only pull, and sends no body', async () => {
    await login('bob', passwordOf('bob'))
    await pull(team)
    // What is there already, some clients don't push again.
    await pushRefused(`${team}/more`)
  })
  for (const machine of machines) {
    await check(`logs in as a ${machine.name}, which may do what its token says`, async () => {
      await login(machine.name, await machine.token())
      await push(`${machine.folder}/${name}`)
      await pull(`${machine.folder}/${name}`)
      await pushRefused(`${team}/more`)
    })
  }
  await check('tells what a quota allows', async () => {
    await login('alice', passwordOf('alice'))
    await refused(push(`full/${name}`), terse ? /403/ : /it may hold 0 bytes/)
  })
}

/**
 * What a push sends to a repository with a body, as the server's log has it.
 * @param asks whether it must have sent anything
 */
async function bodiesOf(log: string, repository: string, push: () => Promise<unknown>, asks = true): Promise<string[]> {
  const { size } = await stat(log)
  await push()
  await sleep(100) // a request has its line a moment after its answer
  const lines = (await readFile(log)).subarray(size).toString().split('\n').filter(Boolean)
  const requests = lines.flatMap(line => (JSON.parse(line) as { req?: { method: string; url: string } }).req ?? [])
  const sent = requests.filter(({ url }) => url.startsWith(`/v2/${repository}/`))
  assert.ok(sent.length > 0 || !asks, 'nothing is sent')
  const hasBody = /^(PUT|PATCH) |^POST .*[?&]digest=/
  return sent.map(({ method, url }) => `${method} ${url}`).filter(request => hasBody.test(request))
}

/** The same program, which shows a certificate where others send a password. */
function byCertificate(client: Client, program: Program, authority: Authority): Program {
  const { cert, key } = certificatesOf(client)
  const logout = async () => {
    await Promise.all([cert, key].map(file => rm(file, { force: true })))
    await program.disconnect?.()
  }
  const login = async (user: string) => {
    const { certFile, keyFile } = authority.issue(user)
    await Promise.all([copyFile(certFile, cert), copyFile(keyFile, key)])
    await program.disconnect?.()
  }
  return { ...program, login, logout }
}

const DENIED =
  /401|403|unauthorized|denied|authorization failed|authentication required|credential not found|invalid username|no basic auth/i

async function refused(work: Promise<unknown>, words = DENIED): Promise<void> {
  const reason = await work.then(
    () => undefined,
    (error: Error) => error.message
  )
  assert.ok(reason !== undefined, 'it was let through')
  assert.match(reason, words)
}

const { values, positionals } = parseArgs({
  options: { 'tls-alone': { type: 'boolean', default: false } },
  allowPositionals: true
})
const wanted = positionals.length > 0 ? positionals : Object.keys(programs)

/** These look for a registry's certificates in a folder; all others take an issuer's from SSL_CERT_FILE. */
const LOOKING = ['skopeo', 'podman', 'buildah']

await withScratch(30, async (checks, scratch) => {
  const { folder, storage, log } = scratch
  const samples = await buildSamples(folder)
  const authority = createAuthority(join(folder, 'authority'))
  const issuer = await openIdIssuer()
  const secrets: [user: string, secret: string][] = [
    ['alice', passwordOf('alice')],
    ['bob', passwordOf('bob')]
  ]
  /** A token, which the log may not have in it. */
  const kept = (user: string, token: string): string => {
    secrets.push([user, token])
    return token
  }
  /** A client that knows who issued the registry's certificate, if it has one. */
  const openClient = async (name: string, scheme: string, url: string, tls: boolean): Promise<Client> => {
    const id = `${name}-${scheme}`
    const { certs, ca } = certificatesOf({ folder: join(folder, id), host: new URL(url).host })
    const env = tls && !LOOKING.includes(name) ? { SSL_CERT_FILE: ca } : {}
    const registry = createRegistry(url)
    const client = await createClient({ name: id, url, scratch: folder, samples, registry, checks, env })
    if (tls) {
      await mkdir(certs, { recursive: true })
      await copyFile(authority.caFile, ca)
    }
    return client
  }
  for (const [scheme, access] of Object.entries(await schemesIn(folder, authority, issuer.url))) {
    if (values['tls-alone'] && !('TLS_CERT_FILE' in access)) continue
    const env = { STORAGE_PATH: `${storage}-${scheme}`, LOG_LEVEL: 'trace', QUOTA_BYTES: 'full/**=0', ...access }
    const [tls, certified] = ['TLS_CERT_FILE' in access, 'TLS_CLIENT_CA_FILE' in access]
    const server = await startServer({ storage: env, log, ...(tls && { ca: authority.ca }) })
    const machines: Machine[] = []
    // With a provider's tokens, clients take their passwords there.
    if ('AUTH_ROBOT_TOKENS' in access) {
      const token = kept('robot', await createToken(env))
      machines.push(
        { name: 'robot', folder: 'robots', token: async () => token },
        { name: 'job', folder: 'jobs', token: async () => kept('job', await issuer.token(jobs.github)) }
      )
    }
    for (const name of wanted.filter(name => suits(name, scheme))) {
      const make = programs[name]
      if (make === undefined) throw new Error(`No client is called ${name}`)
      const client = await openClient(name, scheme, server.url, tls)
      const made = make(client, samples, (...flags) => (tls ? [] : flags))
      const program = certified ? byCertificate(client, made, authority) : made
      const basic = scheme.endsWith('passwords')
      await checkProgram({ name, client, program, machines, log, certified, basic })
      await program.end?.()
    }
    await server.stop()
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
