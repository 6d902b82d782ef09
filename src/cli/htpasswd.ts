import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'
import { text } from 'node:stream/consumers'
import type { Command } from 'commander'
import { CommandError, UsageError } from './store.ts'

/** What bcrypt takes of a password, in bytes; it ignores the rest. */
const LONGEST = 72

/** `htpasswd`: a line for the password file. */
export function addHtpasswd(program: Command): void {
  program
    .command('htpasswd')
    .description('make a line for AUTH_HTPASSWD_FILE; the password is asked for, or read from stdin')
    .argument('<user>')
    .option('--json', 'as JSON')
    .action(async (user: string, { json = false }: { json?: boolean }) => {
      if (user === '' || /[:\p{Cc}]/u.test(user) || user.startsWith('#') || user !== user.trim()) {
        throw new UsageError(`${JSON.stringify(user)} can't be a user: no \`:\`, no control character, no \`#\` first`)
      }
      const password = process.stdin.isTTY ? await ask() : (await text(process.stdin)).replace(/\r?\n$/, '')
      // Loaded here, so that no other command loads bcrypt.
      const { hashPassword } = await import('../access/passwords.ts')
      const hash = await hashPassword(checked(password))
      console.log(json ? JSON.stringify({ user, hash }) : `${user}:${hash}`)
    })
}

function checked(password: string): string {
  if (password === '') throw new CommandError('the password is empty')
  if (Buffer.byteLength(password) > LONGEST) {
    throw new CommandError(`the password has more than ${LONGEST} bytes, and bcrypt would ignore the rest`)
  }
  if (/\p{Cc}/u.test(password)) throw new CommandError('the password has a control character in it')
  return password
}

/** Asks twice, showing nothing of what is typed. What is asked goes to stderr: stdout is for the line alone. */
async function ask(): Promise<string> {
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() })
  const terminal = createInterface({ input: process.stdin, output: nowhere, terminal: true, historySize: 0 })
  const question = async (what: string): Promise<string> => {
    process.stderr.write(what)
    const answer = await terminal.question('')
    process.stderr.write('\n')
    return answer
  }
  terminal.on('SIGINT', () => process.exit(130))
  try {
    const password = await question('Password: ')
    if ((await question('Again: ')) !== password) throw new CommandError('the two are not the same')
    return password
  } finally {
    terminal.close()
  }
}
