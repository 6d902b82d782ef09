import { seededBytes, sha256 } from './bytes.ts'
import { expect, locationOf, open } from './http.ts'

export const mebibyte = 1 << 20

/** A way to push a blob of any size. `repository` is its URL; `size` is bytes. */
export type PushLarge = (repository: string, body: Iterable<Uint8Array>, digest: string, size: number) => Promise<void>

/** As docker does it: one PATCH of unknown length, then an empty PUT. */
export const pushStreamed: PushLarge = async (repository, body, digest, size) => {
  const uploads = `${repository}/blobs/uploads/`
  const session = locationOf(await expect(202, uploads, { method: 'POST' }), uploads)
  const patched = await expect(202, session, { method: 'PATCH', body })
  const { range } = patched.headers
  if (range !== `0-${size - 1}`) throw new Error(`PATCH answered the Range ${range}`)
  await expect(201, locationOf(patched, uploads, { digest }), { method: 'PUT' })
}

export const pushAtOnce: PushLarge = async (repository, body, digest, size) => {
  const uploads = `${repository}/blobs/uploads/`
  const begun = await expect(202, uploads, { method: 'POST' })
  const headers = { 'content-type': 'application/octet-stream', 'content-length': size }
  await expect(201, locationOf(begun, uploads, { digest }), { method: 'PUT', headers, body })
}

/** A PATCH with a Content-Range for each so many bytes of the seed's stream. */
export async function pushInChunks(repository: string, seed: number, digest: string, size: number, chunk: number) {
  const uploads = `${repository}/blobs/uploads/`
  let session = locationOf(await expect(202, uploads, { method: 'POST' }), uploads)
  for (let from = 0; from < size; from += chunk) {
    const to = Math.min(from + chunk, size)
    const headers = { 'content-range': `${from}-${to - 1}`, 'content-length': to - from }
    const body = seededBytes(seed, from, to)
    session = locationOf(await expect(202, session, { method: 'PATCH', headers, body }), uploads)
  }
  session.searchParams.set('digest', digest)
  await expect(201, session, { method: 'PUT' })
}

/** Throws unless the repository serves these bytes. */
export async function pullWhole(repository: string, digest: string): Promise<void> {
  const answer = await open(`${repository}/blobs/${digest}`)
  if (answer.statusCode !== 200) throw new Error(`GET answered ${answer.statusCode}`)
  const pulled = await sha256(answer)
  if (pulled.digest !== digest) throw new Error(`${pulled.size} bytes with the digest ${pulled.digest}`)
}

/** Runs it and tells how fast so many bytes went, as `123 MiB/s`. */
export async function rateOf(size: number, run: () => Promise<unknown>): Promise<string> {
  const begun = performance.now()
  await run()
  return `${Math.round(size / mebibyte / ((performance.now() - begun) / 1000))} MiB/s`
}

/** `512MiB`, `1GiB` or plain bytes. */
export function parseSize(text: string): number {
  const match = /^(\d+)([KMG]iB)?$/.exec(text)
  if (match === null) throw new Error(`The size is "${text}" and should be like 512MiB or 10GiB`)
  const units: Record<string, number> = { KiB: 1024, MiB: mebibyte, GiB: 1024 * mebibyte }
  return Number(match[1]) * (units[match[2] ?? ''] ?? 1)
}

/** Throws when the process has ever held as much memory, in bytes. */
export async function peakBelow(limit: number, { peakMemory }: { peakMemory(): Promise<number> }): Promise<string> {
  const peak = await peakMemory()
  if (peak >= limit) throw new Error(`its peak was ${Math.round(peak / mebibyte)} MiB`)
  return `peak ${Math.round(peak / mebibyte)} MiB`
}
