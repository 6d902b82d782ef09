import { randomBytes } from 'node:crypto'
import { seededBuffer } from '../reliability/bytes.ts'
import type { Client } from '../support/client.ts'
import type { Chance } from './chance.ts'
import type { Ledger } from './ledger.ts'

/** Something that a client does, in one request or in several. */
export interface Operation {
  name: string
  /**
   * Does it, and returns what makes its client remember it. `again`: it was begun before and nobody knows how far it
   * came; what a client would take for done is no fault then. Throws when an answer is not as it should be.
   */
  run(client: Client, ledger: Ledger, again: boolean): Promise<() => void>
}

export interface Image {
  digest: string
  bytes: Buffer
  mediaType: string
  /** Digests. */
  blobs: string[]
  subject: string | undefined
}

export interface OpenSession {
  location: string
  bytes: Buffer
  /** So many of them were acknowledged. */
  sent: number
}

/** What one client knows of its repository. */
export interface Holding {
  repository: string
  chance: Chance
  blobs: Map<string, Buffer>
  images: Map<string, Image>
  /** Digests by tag. */
  tags: Map<string, string>
  sessions: OpenSession[]
}

/** The ways to push a blob: POST and PUT, POST with PATCH and PUT, a single POST. */
export const WAYS = ['put', 'patches', 'single'] as const
export type Way = (typeof WAYS)[number]

export const TAGS = ['latest', 'v1', 'v1.0', 'nightly'] as const

/** Blobs that every client pushes, so that content comes to be shared. */
export const COMMON: readonly Buffer[] = [70_001, 4097, 300].map((size, seed) => seededBuffer(seed, size))

/** A blob that nobody has. */
export const newBytes = (chance: Chance): Buffer =>
  Buffer.concat([randomBytes(12), Buffer.alloc(chance.one([0, 30, 2000, 66_000]))])

export const nothing = (): void => {}
