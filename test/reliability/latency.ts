import { randomBytes } from 'node:crypto'
import { digestOf } from './bytes.ts'
import { expect, locationOf } from './http.ts'

/** How long requests took that came one after the other. */
export interface Latency {
  meanMs: number
  medianMs: number
  /** 99 of a hundred took no longer. */
  slowMs: number
}

export interface LatencyMeter {
  measure(ms: number): Promise<Latency>
  /** Measures while `work` runs; what came of it is in `last`. */
  during<T>(work: () => Promise<T>): Promise<T>
  last: Latency
}

/** Sends what clients send: is a blob there, a manifest by tag, and now and then a small push. */
export async function createLatency(url: string): Promise<LatencyMeter> {
  const blob = await push(url)
  const bytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.index.v1+json',
      manifests: [],
      annotations: { blob }
    })
  )
  const headers = { 'content-type': 'application/vnd.oci.image.index.v1+json' }
  await expect(201, `${url}/v2/latency/manifests/v1`, { method: 'PUT', body: bytes, headers })
  const requests = [
    () => expect(200, `${url}/v2/latency/blobs/${blob}`, { method: 'HEAD' }),
    () => expect(200, `${url}/v2/latency/manifests/v1`),
    () => expect(200, `${url}/v2/latency/blobs/${blob}`),
    () => push(url)
  ]

  async function measure(goesOn: () => boolean): Promise<Latency> {
    const times: number[] = []
    for (let turn = 0; goesOn() || times.length < 10; turn++) {
      const begun = performance.now()
      await requests[turn % requests.length]!()
      times.push(performance.now() - begun)
    }
    times.sort((a, b) => a - b)
    const at = (part: number): number => times[Math.floor(times.length * part)]!
    return { meanMs: times.reduce((sum, time) => sum + time, 0) / times.length, medianMs: at(0.5), slowMs: at(0.99) }
  }

  const meter: LatencyMeter = {
    last: { meanMs: 0, medianMs: 0, slowMs: 0 },
    async measure(ms) {
      const end = performance.now() + ms
      return measure(() => performance.now() < end)
    },
    async during(work) {
      let over = false
      const result = work().finally(() => {
        over = true
      })
      result.catch(() => {}) // thrown below, when the last request has ended
      meter.last = await measure(() => !over)
      return result
    }
  }
  return meter
}

/** Pushes a blob that nobody has; returns its digest. */
async function push(url: string): Promise<string> {
  const bytes = randomBytes(4096)
  const digest = digestOf(bytes)
  const begun = await expect(202, `${url}/v2/latency/blobs/uploads/`, { method: 'POST' })
  await expect(201, locationOf(begun, url, { digest }), { method: 'PUT', body: bytes })
  return digest
}
