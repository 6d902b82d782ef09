/** A process at the other end of a channel: a worker as the primary sees it, or the primary as a worker does. */
export interface Channel {
  send?(message: unknown): unknown
  on(event: 'message', listener: (message: unknown) => void): unknown
}

type Message = { ask: string; id: number; given: unknown } | { told: number; value: unknown }

export interface Calls {
  /**
   * Asks the other process. Rejects when it does not answer within `limitMs`, or is no longer there.
   *
   * @param given what goes with the question, as JSON can carry it
   */
  ask(question: string, given?: unknown, limitMs?: number): Promise<unknown>
}

/** What this process answers to each question. */
export type Answers = Record<string, (given: unknown) => unknown>

const LIMIT_MS = 2000

/** Questions and answers between two processes. A question without an answer here is left without one. */
export function createCalls(channel: Channel, answers: Answers): Calls {
  const waiting = new Map<number, (value: unknown) => void>()
  let last = 0

  channel.on('message', async message => {
    if (!isMessage(message)) return
    if ('told' in message) return waiting.get(message.told)?.(message.value)
    const value = await answers[message.ask]?.(message.given)
    send({ told: message.id, value })
  })

  /** The other process may be about to end: nobody is to fail for that. */
  function send(message: Message): void {
    try {
      channel.send?.(message)
    } catch {
      // It has ended: whoever asked it gets no answer within the limit.
    }
  }

  async function ask(question: string, given?: unknown, limitMs = LIMIT_MS): Promise<unknown> {
    const id = ++last
    let timer: NodeJS.Timeout | undefined
    try {
      return await new Promise<unknown>((resolve, reject) => {
        timer = setTimeout(() => reject(new Error(`no answer to "${question}"`)), limitMs)
        waiting.set(id, resolve)
        send({ ask: question, id, given })
      })
    } finally {
      clearTimeout(timer)
      waiting.delete(id)
    }
  }

  return { ask }
}

/** The channel carries messages of others as well. */
function isMessage(message: unknown): message is Message {
  return typeof message === 'object' && message !== null && ('ask' in message || 'told' in message)
}
