/**
 * `clock.ts`: the server's time of day is set back and forth by two days, while clients log in and push. Intervals stay as
 * long as they are: a revoked robot is refused in time, nobody is told to wait for days, and pushes succeed.
 */
import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { REVOKED_WITHIN_MS } from '../../src/access/robots.ts'
import { withScratch } from '../reliability/scratch.ts'
import { startServer } from '../reliability/server-process.ts'
import { basic, htpasswdOf, withHeaders } from '../support/callers.ts'
import { overWire } from './wire.ts'

const DAY_MS = 24 * 60 * 60 * 1000
/** The longest that anybody may be told to wait, in s. */
const LONGEST_WAIT_S = 120
/** A busy machine answers late. */
const SLACK_MS = 5000
const cli = join(import.meta.dirname, '../../dist/src/cli.js')

await withScratch(4, async (checks, { folder, storage, log }) => {
  const [control, users] = [join(folder, 'clock'), join(folder, 'users')]
  await writeFile(users, await htpasswdOf('alice', 'bob'))
  const preloaded = join(import.meta.dirname, 'turned-clock.ts')
  const access = { AUTH_HTPASSWD_FILE: users, AUTH_ROBOT_TOKENS: 'true', AUTH_TOKEN_ISSUER: 'self' }
  const env = { ...access, NODE_OPTIONS: `--import tsx --import ${preloaded}`, TURNED_CLOCK: control }
  const server = await startServer({ storage, log, env })
  const send = overWire(() => server.url)
  const command = async (...args: string[]): Promise<string> =>
    (await promisify(execFile)(process.execPath, [cli, ...args], { env: { STORAGE_PATH: storage, ...access } })).stdout
  const login = (user: string, password: string) => send('GET', '/v2/', { headers: basic(user, password) })

  let number = 0
  for (const [name, days] of Object.entries({ back: -2, forth: 2 })) {
    const turn = () => writeFile(control, String(days * DAY_MS))
    const turnBack = () => writeFile(control, '0')

    await checks.check(`a robot that is revoked, while the clock is set ${name}`, async () => {
      const token = (await command('token', 'create', '--name', name, '--repository', '**')).trim()
      const first = await login('robot', token)
      if (first.status !== 200) throw new Error(`the robot is answered ${first.status} at first`)
      await turn()
      await command('token', 'revoke', name)
      const begun = performance.now()
      let { status } = await login('robot', token)
      for (; status === 200 && performance.now() - begun < REVOKED_WITHIN_MS + SLACK_MS; await sleep(200)) {
        status = (await login('robot', token)).status
      }
      await turnBack()
      if (status !== 401) throw new Error(`the robot is answered ${status} afterwards`)
      return `refused after ${Math.round(performance.now() - begun)} ms`
    })

    await checks.check(`guesses, while the clock is set ${name}`, async () => {
      const waits: number[] = []
      const guess = async (): Promise<void> => {
        const { status, headers } = await login('alice', `guess ${number++}`)
        if (status === 429) waits.push(Number(headers['retry-after']))
      }
      const guesses = () => Promise.all(Array.from({ length: 12 }, guess))
      const guessing = guesses()
      await turn()
      await Promise.all([guessing, guesses()])
      await turnBack()
      const longest = Math.max(0, ...waits)
      if (!(longest <= LONGEST_WAIT_S)) throw new Error(`somebody is told to wait for ${longest} s`)
      const right = await login('bob', 'bob-password')
      if (right.status !== 200) throw new Error(`a right login is answered ${right.status}`)
      return `${waits.length} held up, for ${longest} s at most`
    })

    await checks.check(`pushes, while the clock is set ${name}`, async () => {
      const bob = withHeaders(send, basic('bob', 'bob-password'))
      const session = await bob.begin('team/app')
      await bob.must(202, bob.patch(session, Buffer.from('half ')))
      await turn()
      const { digest } = await bob.pushImage('team/app', name)
      await turnBack()
      await bob.must(200, bob.getManifest('team/app', name))
      await bob.must(200, bob.getManifest('team/app', digest))
      await bob.must(204, bob.get(session))
      if ((await send('GET', '/readyz')).status !== 200) throw new Error('the server is not ready')
      return undefined
    })
  }
  await server.stop()
})
