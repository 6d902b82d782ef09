import type { UploadState } from '../driver.ts'
import { sizeOfRun } from './pieces.ts'
import { sizeOf } from './record.ts'
import type { Beginning } from './writing.ts'

/** An upload whose last bytes are in this process's memory, until it is committed. */
export interface Held {
  state: UploadState
  beginning: Beginning
}

/** Whoever does not commit for so long has gone. */
const HELD_MS = 60_000

/** Of an append that is under way, and of which there may be no other trace. */
export interface Ticket {
  /** The upload was aborted meanwhile. */
  aborted: boolean
}

export function createHolding() {
  const tickets = new Map<string, Ticket>()
  const held = new Map<string, Held & { end(): void }>()

  /** Frees what is held; nothing may be. */
  function drop(id: string): void {
    held.get(id)?.end()
    held.delete(id)
  }

  return {
    /** Begins an upload that may be held at its end, and takes it over from whoever is at it. */
    begin(id: string): Ticket {
      const ticket = { aborted: false }
      tickets.set(id, ticket)
      return ticket
    },

    /** Nobody has taken the upload over or aborted it. */
    isGood: (id: string, ticket: Ticket): boolean => tickets.get(id) === ticket && !ticket.aborted,

    /** The append that got the ticket is over. */
    settle(id: string, ticket: Ticket): void {
      if (tickets.get(id) === ticket) tickets.delete(id)
    },

    /** @param release called when the bytes go */
    keep(id: string, beginning: Beginning, release: () => void): void {
      const { record, memory } = beginning
      const timer = setTimeout(() => drop(id), HELD_MS)
      timer.unref()
      held.set(id, {
        beginning,
        state: { size: sizeOf(record) + sizeOfRun({ tails: [], memory }), writer: record.writer },
        end: () => {
          clearTimeout(timer)
          release()
        }
      })
    },

    find: (id: string): Held | undefined => held.get(id),
    drop,

    abort(id: string): void {
      drop(id)
      const ticket = tickets.get(id)
      if (ticket) ticket.aborted = true
    }
  }
}
