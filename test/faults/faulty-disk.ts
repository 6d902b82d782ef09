/**
 * Loaded into a server before its program: its calls of the file system become slow, or fail, as the file says that
 * `FAULTY_DISK` names. That is JSON, a `DiskFault`; where there is no file the disk is in order.
 */
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { setTimeout as sleep } from 'node:timers/promises'

export interface DiskFault {
  /** Names of calls: those of `node:fs/promises` and of its file handles. */
  calls: string[]
  /** Fails one in so many. */
  oneIn?: number
  errno?: string
  /** Takes so much longer. */
  delayMs?: number
}

const control = process.env.FAULTY_DISK ?? ''
const { readFileSync } = fs
let count = 0

function faultOf(call: string): DiskFault | undefined {
  try {
    const fault = JSON.parse(readFileSync(control, 'utf8')) as DiskFault
    return fault.calls.includes(call) ? fault : undefined
  } catch {
    return undefined
  }
}

async function meet(call: string): Promise<void> {
  const fault = faultOf(call)
  if (fault?.delayMs) await sleep(fault.delayMs)
  count += 1
  if (!fault?.errno || count % (fault.oneIn ?? 1) !== 0) return
  throw Object.assign(new Error(`${fault.errno}: a fault of the test, ${call}`), { code: fault.errno })
}

type Call = (...args: never[]) => Promise<unknown>

const meeting =
  (name: string, call: Call): Call =>
  async (...args) => {
    await meet(name)
    return call(...args)
  }

const names = ['link', 'rename', 'mkdir', 'unlink', 'rmdir', 'readdir', 'copyFile'] as const
const methods = ['writev', 'writeFile', 'datasync', 'sync', 'read', 'readFile'] as const
const { open } = fs.promises
const calls = fs.promises as unknown as Record<string, Call>
for (const name of names) calls[name] = meeting(name, calls[name]!)
calls.open = async (...args) => {
  await meet('open')
  const handle = (await (open as unknown as Call)(...args)) as Record<string, Call>
  for (const name of methods) handle[name] = meeting(name, handle[name]!.bind(handle))
  return handle
}
const { fsync, open: openDescriptor } = fs
type Opened = (error: Error | null, descriptor?: number) => void
fs.open = Object.assign((...args: unknown[]) => {
  // With a mode or without one.
  meet('open').then(() => (openDescriptor as (...args: unknown[]) => void)(...args), args.at(-1) as Opened)
}, openDescriptor) as typeof fs.open
fs.fsync = Object.assign((descriptor: number, done: fs.NoParamCallback) => {
  meet('fsync').then(() => fsync(descriptor, done), done)
}, fsync)
syncBuiltinESMExports()
