// A storage driver of one's own: here over two Maps, where yours has a database or another service. Whatever is done
// between two awaits is atomic in a Map; with a database it is one transaction or one conditional write.
import { StorageError } from 'marina-distribution/storage-contract'

/** @typedef {import('marina-distribution/storage-contract').StorageDriver} StorageDriver */
/** @typedef {import('marina-distribution/storage-contract').UploadState} UploadState */
/** @typedef {{ bytes: Buffer, at: number }} Stored */
/** @typedef {{ writer: string, bytes: Buffer, at: number }} Upload */

/**
 * @param {{ now?: () => number }} options the clock that ages are told by
 * @returns {StorageDriver}
 */
export function openMapDriver({ now = Date.now } = {}) {
  /** @type {Map<string, Stored>} */
  const objects = new Map()
  /** @type {Map<string, Upload>} */
  const uploads = new Map()
  const ageMs = (/** @type {{ at: number }} */ { at }) => Math.max(0, now() - at)

  return {
    name: 'map',

    async stat(key) {
      const found = objects.get(key)
      return found && { size: found.bytes.length, ageMs: ageMs(found) }
    },
    async get(key) {
      const found = objects.get(key)
      return found && { bytes: found.bytes, ageMs: ageMs(found) }
    },
    async read(key, range) {
      const found = objects.get(key)
      if (!found) return undefined
      const size = found.bytes.length
      const { start, end } = range ?? { start: 0, end: size }
      // The range is looked at before any byte is sent: the client is told of it by the status.
      if (range && (start >= size || end < start)) throw new StorageError('range', 'outside of the object', { size })
      return { size, chunks: inChunks(found.bytes.subarray(start, end + 1)) }
    },
    async put(key, bytes, { ifAbsent = false } = {}) {
      if (ifAbsent && objects.has(key)) return false
      objects.set(key, { bytes: Buffer.from(bytes), at: now() })
      return true
    },
    async delete(keys) {
      for (const key of keys) objects.delete(key)
    },
    async list(prefix, { after = '', limit = Number.POSITIVE_INFINITY, folders = false, ages = false } = {}) {
      const entries = []
      for (const key of [...objects.keys()].sort()) {
        if (entries.length >= limit) break
        if (!key.startsWith(prefix)) continue
        const slash = folders ? key.indexOf('/', prefix.length) : -1
        const entry = slash < 0 ? key : key.slice(0, slash + 1)
        const before = entry <= after || (after.endsWith('/') && entry.startsWith(after))
        if (before || entries.at(-1)?.key === entry) continue
        const found = ages ? objects.get(entry) : undefined
        entries.push(found ? { key: entry, ageMs: ageMs(found) } : { key: entry })
      }
      return entries
    },
    async url() {
      return undefined
    },

    async upload(id) {
      return stateOf(uploads.get(id))
    },
    async append(id, source, { from, writer, watch }) {
      const before = uploads.get(id)
      expectState(before, from)
      // Another object from here on: what an earlier writer still adds goes to the one that nobody reads.
      const upload = { writer, bytes: before?.bytes ?? Buffer.alloc(0), at: now() }
      uploads.set(id, upload)
      const pieces = [upload.bytes]
      try {
        for await (const piece of source) {
          pieces.push(Buffer.from(piece))
          await watch?.(piece)
        }
      } finally {
        // What came before the source failed counts: its client goes on from there.
        upload.bytes = Buffer.concat(pieces)
        upload.at = now()
      }
      if (uploads.get(id) !== upload) throw new StorageError('conflict', 'another writer has taken it over')
      return upload.bytes.length
    },
    async commit(id, key, from) {
      const upload = uploads.get(id)
      const existing = objects.get(key)
      if (!upload) return existing && { size: existing.bytes.length, existed: true }
      expectState(upload, from)
      uploads.delete(id)
      if (existing) return { size: existing.bytes.length, existed: true }
      objects.set(key, { bytes: upload.bytes, at: now() })
      return { size: upload.bytes.length, existed: false }
    },
    async abort(id) {
      uploads.delete(id)
    },
    async *listUploads() {
      for (const [id, upload] of uploads) yield { id, ageMs: ageMs(upload) }
    },
    async close() {}
  }
}

/** @param {Upload | undefined} upload */
function stateOf(upload) {
  return upload && { size: upload.bytes.length, writer: upload.writer }
}

/**
 * @param {Upload | undefined} upload
 * @param {UploadState | undefined} from
 */
function expectState(upload, from) {
  const state = stateOf(upload)
  if (state?.size === from?.size && state?.writer === from?.writer) return
  throw new StorageError('conflict', 'the upload is in another state than the caller saw')
}

/** @param {Buffer} bytes */
async function* inChunks(bytes) {
  for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536)
}
