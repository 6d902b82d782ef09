import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { hashPassword } from '../../src/access/passwords.ts'
import { send } from '../reliability/http.ts'
import { watchOthers } from './others.ts'
import { fuzz, type Target } from './target.ts'

const USERS = 40
/** Of bcrypt: a check takes some ms, so that several wait for each other and a round is short. */
const COST = 7
const PASSWORD = 'the same for all'

const POLICY = `
rules:
  - {anonymous: true, repositories: ['group-*/**'], actions: [pull, push]}
  - {users: ['*'], repositories: ['**'], actions: [pull]}
`

export async function prepareLogins(folder: string): Promise<Record<string, string>> {
  const hash = await hashPassword(PASSWORD, COST)
  const lines = Array.from({ length: USERS }, (_, number) => `user-${number}:${hash}\n`)
  await writeFile(join(folder, 'users'), lines.join(''))
  await writeFile(join(folder, 'policy.yaml'), POLICY)
  return { AUTH_HTPASSWD_FILE: join(folder, 'users'), AUTH_POLICY_FILE: join(folder, 'policy.yaml') }
}

/**
 * All users log in at once with their right passwords, while strangers guess other names' passwords from the same address:
 * each right login is answered 200, each wrong one 401 or 429.
 */
export async function fuzzLogins(target: Target): Promise<string> {
  const { url } = target.server
  const login = async (user: string, password: string): Promise<number> => {
    const authorization = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
    return (await send(`${url}/v2/`, { headers: { authorization } })).status
  }
  const beside = watchOthers(url)
  let guessed = 0
  const rounds = await fuzz(target, round, async ({ from, guesses }) => {
    const users = Array.from({ length: USERS }, (_, number) => `user-${(from + number) % USERS}`)
    const right = users.map(user => login(user, PASSWORD))
    const wrong = guesses.map(({ name, password }) => login(name, password))
    guessed += guesses.length
    const refused = (await Promise.all(right)).filter(status => status !== 200)
    if (refused.length > 0) throw new Error(`right logins were answered ${refused.join(', ')}`)
    const odd = (await Promise.all(wrong)).filter(status => status !== 401 && status !== 429)
    if (odd.length > 0) throw new Error(`wrong logins were answered ${odd.join(', ')}`)
  })
  return `${rounds} rounds of ${USERS} logins, ${guessed} guesses beside; ${await beside.end()}`
}

const guess = fc.record({
  name: fc.constantFrom('root', 'admin', 'nobody-1', 'x'),
  password: fc.string({ maxLength: 80 })
})
const round = fc.record({ from: fc.nat({ max: USERS - 1 }), guesses: fc.array(guess, { maxLength: 8 }) })
