import type { Outcome, Participant } from './figures.ts'
import type { PeerName } from './peers.ts'
import type { Server } from './server.ts'
import type { Settings } from './settings.ts'

export interface Run {
  round: number
  /** How long small requests are to be sent. */
  seconds: number
  /** Not counted: compilers and caches get what they need. */
  warmUp: boolean
}

/** A piece of work that every peer is given alike. */
export interface Scenario {
  name: string
  /**
   * `shared`: one server on a disk for all of these, warmed up before each. `memory`, `disk`: a fresh server on a fresh
   * folder there for every run, so that what was stored before does not count.
   */
  on: 'shared' | 'memory' | 'disk'
  peers: readonly PeerName[]
  /** What has to be stored. Throws where the peer can't do the work at all. */
  prepare?(server: Server): Promise<void>
  run(server: Server, run: Run): Promise<Outcome>
  /** Those that need no server started for them, and what they do in each round. */
  plain?: Partial<Record<Participant, () => Promise<Outcome>>>
}

/** What scenarios are made with. */
export interface Bench {
  settings: Settings
  /** Folders on tmpfs and on a disk. */
  memory: string
  disk: string
  note(text: string): void
}

export const registries: readonly PeerName[] = ['marina', 'distribution', 'zot', 'olareg']
export const clients = 16
