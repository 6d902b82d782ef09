import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { environment } from '../reliability/program.ts'

const root = join(import.meta.dirname, '../..')

/** Runs the clients against the registry at the URL; `N passed`. Throws when one fails. */
export async function passingClients(url: string): Promise<string> {
  return closingLine(await output('test/clients/run', [], { MARINA_URL: url }), /^(\d+) passed, 0 failed$/gm)
}

/** What a program of this project writes. Throws with its last lines when it fails. */
export function output(program: string, args: string[], env: Record<string, string>): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { cwd: root, env: environment(env), maxBuffer: 1 << 28 }
    execFile(program, args, options, (error, stdout, stderr) => {
      if (!error) return resolve(stdout)
      const failures = stdout.split('\n').filter(line => /^\s*not ok|^FAIL/.test(line))
      reject(new Error([...failures, ...stdout.split('\n').slice(-20), stderr].join('\n')))
    })
  })
}

/** `N passed`, by the last line that the pattern finds a count in; throws when nothing was counted. */
export function closingLine(lines: string, pattern: RegExp): string {
  const count = [...lines.matchAll(pattern)].at(-1)?.[1]
  if (count === undefined || count === '0') throw new Error(`nothing was counted\n${lines.slice(-1000)}`)
  return `${count} passed`
}
