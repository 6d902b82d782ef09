import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { expect, send } from '../reliability/http.ts'
import { startServer } from '../reliability/server-process.ts'
import { basic } from '../support/callers.ts'

const program = join(import.meta.dirname, '../../dist/src/cli.js')
/** Seconds after which a revoked token is taken nowhere (docs/access.md), and one for a slow machine. */
const LAST_SECONDS = 11

/**
 * A robot's token is made by the command on a bucket, and is one to every replica there until it is revoked. Returns how
 * long that took.
 *
 * @param storage the variables of the bucket
 */
export async function robotsWork(storage: Record<string, string>, log: string): Promise<string> {
  const token = async (...args: string[]) => {
    const env = { PATH: process.env.PATH, ...storage }
    return (await promisify(execFile)(process.execPath, [program, 'token', ...args], { env })).stdout.trim()
  }
  const options = { storage, log, env: { AUTH_ROBOT_TOKENS: 'true' } }
  const replicas = await Promise.all([startServer(options), startServer(options)])
  try {
    const password = await token('create', '--name', 'ci', '--repository', 'team/**', '--actions', 'pull,push')
    const headers = basic('ci', password)
    const upload = (url: string, repository: string) => `${url}/v2/${repository}/blobs/uploads/`
    for (const { url } of replicas) {
      await expect(202, upload(url, 'team/app'), { method: 'POST', headers })
      await expect(403, upload(url, 'other/app'), { method: 'POST', headers })
      await expect(401, upload(url, 'team/app'), { method: 'POST' })
    }
    if (!/^ci: pull, push in team/.test(await token('list'))) throw new Error(`the list is ${await token('list')}`)
    await token('revoke', 'ci')
    const revoked = performance.now()
    const passed = () => (performance.now() - revoked) / 1000
    for (const { url } of replicas) {
      while ((await send(upload(url, 'team/app'), { method: 'POST', headers })).status !== 401) {
        if (passed() > LAST_SECONDS) throw new Error(`a revoked token is taken after ${LAST_SECONDS} s`)
        await sleep(200)
      }
    }
    return `refused ${passed().toFixed(1)} s after it was revoked`
  } finally {
    for (const replica of replicas) await replica.stop()
  }
}
