import { spawn } from 'node:child_process'
import { buffer } from 'node:stream/consumers'

export interface CommandOptions {
  folder?: string
  env?: NodeJS.ProcessEnv
  input?: string | Buffer
  /** It is killed after these. Default: 120. */
  seconds?: number
}

/**
 * Runs a program to its end and returns its stdout, byte for byte.
 * Throws when it is not installed, does not end in time, or ends with another status than 0: the message holds the
 * command and what it wrote.
 */
export async function run(program: string, args: readonly string[], options: CommandOptions = {}): Promise<Buffer> {
  const child = spawn(program, args, {
    cwd: options.folder,
    env: options.env,
    timeout: (options.seconds ?? 120) * 1000,
    killSignal: 'SIGKILL'
  })
  child.stdin.on('error', () => undefined).end(options.input ?? '')
  const ended = new Promise<string>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (status, signal) => resolve(signal ?? String(status)))
  })
  const [outcome, stdout, stderr] = await Promise.all([ended, buffer(child.stdout), buffer(child.stderr)])
  if (outcome === '0') return stdout
  throw new Error(`${[program, ...args].join(' ')}\nended with ${outcome}\n${stdout}${stderr}`)
}
