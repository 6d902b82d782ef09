/**
 * What a store must do to hold a registry: keep small immutable objects under keys, and grow uploads.
 *
 * Nothing more is asked of a driver: no move, copy, lock, hash or HTTP, and no word of OCI. Every driver passes
 * `src/storage-contract.ts`. Keys are lower- and upper-case ASCII segments joined by `/`; no key is also the folder of
 * another. Sizes are bytes, ages are milliseconds by the store's own clock.
 */
export interface StorageDriver extends ObjectStore, UploadStore {
  /** Short name for logs: `filesystem`, `s3`, `memory`. */
  readonly name: string
  /** Whether keys that differ in case only are the same key, as on some folders. Default false. */
  readonly ignoresCase?: boolean
  /** Frees what the driver holds (timers, sockets). Nothing may be called afterwards. */
  close(): Promise<void>
}

export interface ObjectStat {
  size: number
  ageMs: number
}

export interface StoredObject {
  bytes: Buffer
  ageMs: number
}

/** Both ends are inclusive, as in HTTP: `{ start: 0, end: 0 }` is the first byte. */
export interface ByteRange {
  start: number
  end: number
}

export interface ObjectBody {
  /** Size of the whole object, whatever range was asked for. */
  size: number
  /**
   * The bytes asked for. A chunk is valid until the one after it is asked for: a driver may use its buffers again.
   * Leaving the loop early frees the file or the socket; a body that is never iterated holds nothing for long.
   */
  chunks: AsyncIterable<Uint8Array>
}

export interface PutOptions {
  /** Write only where no object is: the answer tells whether it was written. */
  ifAbsent?: boolean
  /** `false`: the object may be lost, or come back empty, in a power cut. Default `true`. */
  durable?: boolean
  /**
   * What is going to free room depends on this small object: where there is none left it may take what the store keeps
   * for that, if it keeps any. Default `false`.
   */
  reserve?: boolean
}

export interface ListOptions {
  /**
   * Only entries after this one in byte order. A key, or a prefix as an earlier page returned it; all that lies under
   * a prefix counts as before its end. It need not exist.
   */
  after?: string
  /** Most entries wanted. Default: all there are. */
  limit?: number
  /**
   * With `true`, keys below the next `/` after the prefix come as one entry that ends in `/` (a prefix). One may show
   * with no key below it where a crash, or a write or delete under way, left an empty folder; deleting any key below
   * takes it away.
   */
  folders?: boolean
  /** With `true`, entries carry `ageMs` (a folder pays one stat a key for it). */
  ages?: boolean
  /**
   * A moment of `performance.now`: keys are wanted as they were at any time since, ages as they are now. For the pages of
   * a long listing, which began then: a large folder that changes all the time need not be read anew for each.
   */
  since?: number
}

export interface ListEntry {
  /** The whole key, or a prefix that ends in `/`. */
  key: string
  /** There with `ages` on every key; never on a prefix. */
  ageMs?: number
}

export interface DeleteOptions {
  /**
   * Each key is gone before the next one goes, and a power cut that keeps the last one away keeps away what was deleted
   * before it, durably or not. Default `false`: in any order, which is cheaper where there are many.
   */
  ordered?: boolean
  /** `false`: what was deleted may come back in a power cut. Default `true`. */
  durable?: boolean
}

export interface ObjectStore {
  /** Size and age; undefined only for "not there". Any other fault throws `StorageError`. */
  stat(key: string): Promise<ObjectStat | undefined>
  /** A whole small object; undefined only for "not there". */
  get(key: string): Promise<StoredObject | undefined>
  /**
   * A body of any size; undefined only for "not there". The range is checked before any byte: one that starts past the
   * end, or ends before it starts, throws `StorageError('range', { size })`; an end past the object's end is cut.
   */
  read(key: string, range?: ByteRange): Promise<ObjectBody | undefined>
  /**
   * Atomic, and durable when it resolves. `false`: the key existed and `ifAbsent` was asked for; it may be by this very
   * write, whose answer got lost on the way from a bucket, so what tells is what the key holds.
   */
  put(key: string, bytes: Uint8Array, options?: PutOptions): Promise<boolean>
  /** Removes exactly these keys, durably. What is not there is no error. */
  delete(keys: readonly string[], options?: DeleteOptions): Promise<void>
  /** Entries whose key begins with `prefix` (text, not a folder) in byte order. */
  list(prefix: string, options?: ListOptions): Promise<ListEntry[]>
  /** A URL that anyone may GET for `expiresMs`, where the store can make one. */
  url(key: string, options: { expiresMs: number }): Promise<string | undefined>
}

/** An upload as the store knows it. */
export interface UploadState {
  /** Bytes stored so far: the true offset. */
  size: number
  /** The token of the writer that wrote last; '' when nobody ever did. */
  writer: string
}

export interface AppendOptions {
  /** What the caller saw with `upload(id)`; undefined: no such upload. If it is another by now, `StorageError('conflict')`. */
  from: UploadState | undefined
  /** Token of the process that writes, kept with the upload. It need not be new while nobody else wrote. */
  writer: string
  /** The key that the upload will be committed to, the same with every append: a store may have to know it from the start. */
  key: string
  /**
   * The upload is committed next, so the bytes need not be durable before. If it begins with this, others need not see it
   * before either: until the commit it may be known to this process alone, and for a while only. Default false.
   */
  closing?: boolean
  /**
   * Is shown what is stored, all of it once and in its order, in pieces as large as the driver has them, and before
   * `append` ends. The driver waits for what it returns, which never rejects, and leaves the bytes as they are until then.
   */
  watch?: (bytes: Uint8Array) => Promise<void> | undefined
}

/**
 * Growing uploads. Whoever appends takes the upload over from any earlier writer at one atomic point: of two that race,
 * one gets `StorageError('conflict')`, and what a late writer still writes lands where nobody reads.
 */
export interface UploadStore {
  /** Size and last writer by the store's own truth; undefined: no such upload, or it was committed or aborted. */
  upload(id: string): Promise<UploadState | undefined>
  /**
   * Adds the source's bytes and returns the new size; `from: undefined` begins the upload. The driver may hold on to
   * what the source gave until `append` ends: nobody may write over it before. What the source gave before it failed
   * is kept (whole bytes only) and the source's error thrown on. Durable when it resolves, unless `closing`.
   * Where there is no room for all of it (`full`), the store gives the room of this append back as far as it can, since
   * others need it; what was there before stays, and an upload that this append began is gone.
   * Throws `conflict` when the upload is not as `from` says, or another writer took it over meanwhile.
   */
  append(id: string, source: AsyncIterable<Uint8Array>, options: AppendOptions): Promise<number>
  /**
   * Makes the upload's bytes the object `key`, durably, copying nothing and replacing nothing, and ends the upload.
   * Returns what was committed. May be repeated: an object that is already there is left, `existed` tells so.
   * Undefined: there is neither an upload nor the object. `conflict` when the upload is not as `from` says. The key is
   * the one that `append` was told.
   */
  commit(id: string, key: string, from: UploadState | undefined): Promise<Committed | undefined>
  /** Ends the upload and frees its bytes. What is not there is no error. */
  abort(id: string): Promise<void>
  /** Every upload, in no order, with the time since its last change. */
  listUploads(): AsyncIterable<{ id: string; ageMs: number }>
}

export interface Committed {
  size: number
  /** The object was there before: these bytes were committed earlier, by whoever. */
  existed: boolean
}

export type StorageFault =
  /** The range lies outside the object; `size` tells its size. */
  | 'range'
  /** The upload is in another state than the caller saw; look again. */
  | 'conflict'
  /** No room: disk, quota or inodes. */
  | 'full'
  /** The store does not answer, or refuses to work now; a retry may succeed. */
  | 'unavailable'
  /** Anything else: a broken disk, a refused permission, a key that no driver takes. */
  | 'failed'

/** The one error that drivers throw of themselves. What a source throws passes through as it is. */
export class StorageError extends Error {
  override readonly name = 'StorageError'
  readonly fault: StorageFault
  readonly size: number | undefined
  /** What the operator can do, for the log; undefined where the fault says all that is known. */
  readonly advice: string | undefined
  constructor(
    fault: StorageFault,
    message: string,
    options: { cause?: unknown; size?: number | undefined; advice?: string | undefined } = {}
  ) {
    super(message, { cause: options.cause })
    this.fault = fault
    this.size = options.size
    this.advice = options.advice
  }
}

/** Whether the store had no room. */
export const isFull = (error: unknown): boolean => error instanceof StorageError && error.fault === 'full'
