import { setImmediate as turn } from 'node:timers/promises'
import { type ListOptions, type StorageDriver, StorageError } from '../storage/driver.ts'
import type { Claims } from './claims.ts'

/** A store made for one case. */
export interface Opened {
  driver: StorageDriver
  /** The same store as another process sees it; the driver itself where no other process can. */
  peer: StorageDriver
  /** What lies about that is neither object nor upload. */
  leftovers?: () => Promise<string[]>
  /** How many files or sockets of the store are open. */
  handles?: () => number
}

/** Declares a case that gets a fresh store; `forward` moves the clock that ages are told by. */
export type On = (
  title: string,
  run: (t: Claims, opened: Opened & { forward(ms: number): void }) => Promise<void>
) => void

export const MIB = 1024 * 1024

export async function* from(...pieces: (string | Uint8Array)[]): AsyncGenerator<Uint8Array> {
  for (const piece of pieces) yield Buffer.from(piece)
}

export async function* inPieces(bytes: Buffer, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

export async function* slowly(text: string): AsyncGenerator<Uint8Array> {
  for (const letter of text) {
    await turn()
    yield Buffer.from(letter)
  }
}

/** A source that tells when it is first asked for bytes, and gives them once it is opened. */
export function gated(bytes: Buffer): { source: AsyncIterable<Uint8Array>; asked: Promise<void>; open: () => void } {
  let tell = (): void => undefined
  let open = (): void => undefined
  const asked = new Promise<void>(resolve => {
    tell = resolve
  })
  const opened = new Promise<void>(resolve => {
    open = resolve
  })
  const source = async function* (): AsyncGenerator<Uint8Array> {
    tell()
    await opened
    yield* inPieces(bytes, 300_000)
  }
  return { source: source(), asked, open }
}

export async function gather(chunks: AsyncIterable<Uint8Array> | undefined): Promise<Buffer> {
  const copies: Buffer[] = []
  for await (const chunk of chunks ?? []) copies.push(Buffer.from(chunk))
  return Buffer.concat(copies)
}

export async function whole(driver: StorageDriver, key: string): Promise<Buffer> {
  return gather((await driver.read(key))?.chunks)
}

export async function keysIn(driver: StorageDriver, prefix: string, options?: ListOptions): Promise<string[]> {
  return (await driver.list(prefix, options)).map(({ key }) => key)
}

export async function uploadsIn(driver: StorageDriver): Promise<{ id: string; ageMs: number }[]> {
  const found: { id: string; ageMs: number }[] = []
  for await (const upload of driver.listUploads()) found.push(upload)
  return found
}

/** Asserts that a call fails with this fault, and returns the error. */
export async function fault(
  t: Pick<Claims, 'match'>,
  expected: StorageError['fault'],
  call: Promise<unknown>,
  title: string = expected
): Promise<StorageError> {
  const error: unknown = await call.then(
    value => new Error(`nothing failed: ${JSON.stringify(value)}`),
    reason => reason
  )
  t.match(error, { name: 'StorageError', fault: expected }, title)
  return error instanceof StorageError ? error : new StorageError('failed', 'no StorageError')
}
