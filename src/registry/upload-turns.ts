/** One request's time with an upload session. */
export interface Turn {
  /** Reads a source until it ends, fails, or another request asks for the session: then it throws `Superseded`. */
  read(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array>
  /** Lets the next request have the session. */
  end(): void
}

/** What a source fails with when another request took the session over. */
export class Superseded extends Error {
  override readonly name = 'Superseded'
}

/**
 * Requests of this process that use the same upload session take turns. A newcomer does not wait for a body that may
 * never end, such as that of a connection which broke unnoticed: the holder stops reading, keeps what it has, and goes.
 */
export function createTurns(): { take(session: string): Promise<Turn> } {
  const holders = new Map<string, { interrupt(): void; over: Promise<void> }>()

  async function take(session: string): Promise<Turn> {
    for (let holder = holders.get(session); holder; holder = holders.get(session)) {
      holder.interrupt()
      await holder.over
    }
    let superseded = false
    let wake: (() => void) | undefined
    let finish = (): void => {}
    const over = new Promise<void>(resolve => {
      finish = resolve
    })
    holders.set(session, {
      interrupt() {
        superseded = true
        wake?.()
      },
      over
    })

    async function* read(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
      const chunks = source[Symbol.asyncIterator]()
      let whole = false
      try {
        for (;;) {
          const next = await new Promise<IteratorResult<Uint8Array>>((resolve, reject) => {
            wake = () => reject(new Superseded())
            if (superseded) wake()
            chunks.next().then(resolve, reject)
          })
          if (next.done) {
            whole = true
            return
          }
          yield next.value
        }
      } finally {
        wake = undefined
        // Not awaited: the source may be waiting for a chunk that never comes.
        if (!whole) void chunks.return?.()?.catch(() => {})
      }
    }

    return {
      read,
      end() {
        holders.delete(session)
        finish()
      }
    }
  }

  return { take }
}
