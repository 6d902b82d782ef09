import type { IncomingMessage } from 'node:http'

/** What went to S3 through a proxy that notes each request. */
export interface Sent {
  note(asked: IncomingMessage): undefined
  /** Bytes of all bodies. */
  readonly bytes: number
  /** Bytes of the parts of each multipart upload, in the order of their numbers. */
  parts(): number[][]
}

export function createSent(): Sent {
  const uploads = new Map<string, number[]>()
  let bytes = 0
  return {
    note: ({ headers, url = '' }) => {
      const length = Number(headers['content-length'] ?? 0)
      bytes += length
      const { searchParams } = new URL(url, 'http://s3')
      const [upload, number] = [searchParams.get('uploadId'), searchParams.get('partNumber')]
      if (upload === null || number === null) return undefined
      const parts = uploads.get(upload) ?? []
      parts[Number(number) - 1] = length
      uploads.set(upload, parts)
      return undefined
    },
    get bytes() {
      return bytes
    },
    parts: () => [...uploads.values()]
  }
}
