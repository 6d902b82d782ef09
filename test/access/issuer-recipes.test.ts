import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { parseScopes } from '../../src/access/scope.ts'
import { freePort } from '../reliability/program.ts'
import { refused, told } from '../support/answers.ts'
import { basic, htpasswdOf, passwordOf, withHeaders } from '../support/callers.ts'
import { createClient, parse, type Send } from '../support/client.ts'
import { blocksToRun } from '../support/documents.ts'
import { issuers } from '../support/issuers.ts'
import { jobs, openIdIssuer } from '../support/oidc.ts'
import { cli, placeProgram } from '../support/program.ts'
import { challengeIn, withTokens } from '../support/tokens.ts'

/** Runs a recipe's command that starts the registry, as it is written, and returns how to send to it. */
async function start(t: Test, folder: string, command: string): Promise<Send> {
  const port = await freePort()
  // From here on `npm start` is this registry, in the folder of the recipe.
  placeProgram(join(folder, 'bin'), 'npm', `exec ${cli.join(' ')}`)
  const env = { PATH: `${join(folder, 'bin')}:${process.env.PATH}`, HOST: '127.0.0.1', PORT: String(port) }
  const child = spawn('bash', ['--norc', '-euc', command], {
    cwd: folder,
    env: { ...env, STORAGE_PATH: join(folder, 'data'), LOG_LEVEL: 'error', AUDIT_LOG: 'false' },
    stdio: ['ignore', 'inherit', 'inherit'],
    detached: true
  })
  const ended = once(child, 'exit')
  t.teardown(async () => {
    if (child.exitCode === null) process.kill(-child.pid!, 'SIGTERM')
    await ended
  })
  const send: Send = async (method, path, { headers = {}, body } = {}) => {
    const url = new URL(path, `http://127.0.0.1:${port}`)
    const target = `http://127.0.0.1:${port}${url.pathname}${url.search}`
    const init = { method, headers: headers as Record<string, string>, ...(body && { body: new Uint8Array(body) }) }
    const answer = await fetch(target, init)
    return {
      status: answer.status,
      headers: Object.fromEntries(answer.headers),
      body: Buffer.from(await answer.arrayBuffer())
    }
  }
  const starting = async () => {
    for (let tries = 0; tries < 600; tries++) {
      if (await send('GET', '/v2/').catch(() => undefined)) return send
      await sleep(100)
    }
    throw new Error('the registry did not start within a minute')
  }
  return Promise.race([starting(), ended.then(() => Promise.reject(new Error('the registry did not start')))])
}

t.test('tokens: a password is sent once', async t => {
  const folder = t.testdir({ users: await htpasswdOf('alice') })
  const [command] = blocksToRun('docs/access.md', 1, 'Tokens: a password is sent once')
  const send = await start(t, folder, command!.body)
  const challenge = challengeIn(await send('GET', '/v2/'))
  t.strictSame(challenge, { realm: 'https://registry.example.com/v2/token', service: 'marina-distribution' })
  const alice = withTokens(send, async ({ scope = '' }) => {
    const query = new URLSearchParams({ scope })
    const answer = await send('GET', `/v2/token?${query}`, { headers: basic('alice', passwordOf('alice')) })
    return String(parse(answer).token)
  })
  const client = createClient(alice)
  await client.pushImage('team/app', 'v1')
  t.strictSame(await client.tags('team/app'), ['v1'])
})

t.test('behind an identity provider', async t => {
  const folder = t.testdir({})
  const provider = issuers.docker_auth(join(folder, 'provider'), Date.now)
  copyFileSync(provider.settings.rootCertsFile!, join(folder, 'issuer.pem'))
  const [command] = blocksToRun('docs/access.md', 1, 'Behind an identity provider')
  const send = await start(t, folder, command!.body)
  const alice = createClient(withTokens(send, ({ scope = '' }) => provider.token('alice', parseScopes([scope]))))
  await alice.pushImage('team/app', 'v1')
  t.strictSame(await alice.tags('team/app'), ['v1'])
  const other = createClient(withTokens(send, () => provider.token('bob', [])))
  refused(t, await other.get('/v2/team/app/tags/list'), 401, 'UNAUTHORIZED', 'what the provider does not grant')
})

t.test('CI with OIDC', async t => {
  const folder = t.testdir({})
  const [github, gitlab, kubernetes] = await Promise.all([openIdIssuer(), openIdIssuer(), openIdIssuer()])
  t.teardown(() => {
    for (const issuer of [github, gitlab, kubernetes]) issuer.close()
  })
  const [issuersFile, policyFile, command, workflow] = blocksToRun(
    'docs/access.md',
    1,
    'CI with OIDC: no secrets in jobs'
  )
  // The recipe's issuers are here.
  const local = (body: string) =>
    body
      .replaceAll('https://token.actions.githubusercontent.com', github.url)
      .replaceAll('https://gitlab.example.com', gitlab.url)
  for (const { body } of [issuersFile!, policyFile!]) {
    const [, name] = /^# (\S+)\n/.exec(body)!
    writeFileSync(join(folder, name!), local(body))
  }
  const keys = await fetch(`${kubernetes.url}/keys`)
  writeFileSync(join(folder, 'cluster-keys.json'), await keys.text())
  const send = await start(t, folder, command!.body)

  const password = await runWorkflow(t, folder, workflow!.body, audience =>
    github.token({ ...jobs.github, aud: audience })
  )
  const job = withHeaders(send, basic('ci', password))
  await job.pushImage('app/one', 'v1')
  told(t, await job.get('/v2/shared/x/tags/list'), 404, {}, 'a group')
  refused(t, await job.get('/v2/tools/x/tags/list'), 403, 'DENIED', 'of others')
  const branch = await github.token({ ...jobs.github, ref: 'refs/heads/x' })
  refused(t, await withHeaders(send, basic('ci', branch)).get('/v2/app/tags/list'), 403, 'DENIED', 'another branch')
  const of = async (token: Promise<string>) => withHeaders(send, basic('ci', await token))
  const pod = await of(kubernetes.token({ ...jobs.kubernetes, iss: 'https://kubernetes.default.svc' }))
  await pod.pushImage('tools/one', 'v1')
  const tools = await of(gitlab.token({ ...jobs.gitlab, project_path: 'acme/tools' }))
  t.strictSame(await tools.tags('tools/one'), ['v1'])
  const [program, ...first] = cli
  const check = (...claims: string[]) =>
    promisify(execFile)(program, [...first, 'policy', 'check', 'x', 'push', 'app', ...claims], {
      env: { AUTH_POLICY_FILE: join(folder, 'oidc-policy.yaml') }
    }).then(
      ({ stdout }) => stdout,
      (error: { stdout: string }) => error.stdout
    )
  const claims = [`iss=${github.url}`, 'repository=acme/app']
  t.match(
    await check('--claim', ...claims, 'ref=refs/tags/v1'),
    /^allowed by rule 2: claims \{.*\}: pull, push in app, /
  )
  t.match(await check('--claim', ...claims, 'ref=refs/heads/x'), /^denied: /)
  const open = await of(gitlab.token({ ...jobs.gitlab, project_path: 'acme/tools', ref_protected: 'false' }))
  refused(t, await open.get('/v2/'), 401, 'UNAUTHORIZED', 'a branch that is not protected')
})

/** Runs the steps of the workflow where its runner would, and returns the password that docker is logged in with. */
async function runWorkflow(t: Test, folder: string, workflow: string, tokenFor: (audience: string) => Promise<string>) {
  const runner = createServer(async (request, response) => {
    const { searchParams } = new URL(request.url!, 'http://runner')
    const right = request.headers.authorization === 'bearer runner-secret'
    response.end(JSON.stringify({ value: right ? await tokenFor(searchParams.get('audience')!) : '' }))
  })
  await new Promise<void>(resolve => runner.listen(0, '127.0.0.1', resolve))
  t.teardown(() => runner.close())
  placeProgram(
    join(folder, 'bin'),
    'docker',
    `echo "$@" > ${join(folder, 'docker.args')}; cat > ${join(folder, 'docker.stdin')}`
  )
  const [, steps] = /run: \|\n(.*)/s.exec(workflow)!
  const child = spawn('bash', ['--norc', '-euo', 'pipefail', '-c', steps!], {
    cwd: folder,
    env: {
      PATH: `${join(folder, 'bin')}:${process.env.PATH}`,
      ACTIONS_ID_TOKEN_REQUEST_URL: `http://127.0.0.1:${(runner.address() as AddressInfo).port}/token?version=1`,
      ACTIONS_ID_TOKEN_REQUEST_TOKEN: 'runner-secret'
    },
    stdio: ['ignore', 'inherit', 'inherit']
  })
  const [code] = await once(child, 'exit')
  t.equal(code, 0)
  const args = readFileSync(join(folder, 'docker.args'), 'utf8')
  t.equal(args, 'login registry.example.com --username ci --password-stdin\n')
  return readFileSync(join(folder, 'docker.stdin'), 'utf8').trim()
}
