import type { Buffers } from '../buffers.ts'
import { type Answer, divert } from './connections.ts'
import { createRelay, type Relay } from './relay.ts'

/** A shorter body is not worth the connection that it ends. */
export const LARGE = 4 * 1024 * 1024

/**
 * Reads the body of a large answer straight from its connection, into buffers that are used again: a chunk is valid until
 * the next one is asked for. Node's HTTP client copies each read into new memory, which takes longer than all else that a
 * download needs. Back-pressure is kept; the connection is closed at the end.
 *
 * @param length bytes of the body
 * @throws whatever broke the connection
 */
export async function* receive(response: Answer, length: number, buffers: Buffers): AsyncGenerator<Uint8Array> {
  const share = buffers.open(length)
  const relay = createRelay(share)
  const flow = openFlow(response, length, relay)
  try {
    for (;;) {
      const bytes = relay.take()
      flow.goOn()
      if (bytes) yield bytes
      else if (flow.isOver()) return
      else await flow.more()
    }
  } finally {
    flow.end()
    share.end()
  }
}

/** What comes into a relay from a connection. */
interface Flow {
  /** Reads again, where it was stopped and there is room now. */
  goOn(): void
  /** Whether all has come. */
  isOver(): boolean
  /** Waits for bytes, or for the last of them. Throws whatever broke the connection. */
  more(): Promise<void>
  /** Keeps the connection for another request if that is possible. */
  end(): void
}

function openFlow(response: Answer, length: number, relay: Relay): Flow {
  const { socket } = response
  let left = length
  let stopped = false
  let failure: Error | undefined
  let wake = ignore
  const giveBack = divert(socket, {
    buffer: () => (socket.readableLength + response.readableLength === 0 ? relay.target() : undefined),
    received: bytes => {
      relay.filled(bytes)
      left -= Math.min(bytes, left)
      // TLS hands on what it has decrypted even if it was stopped.
      stopped ||= left === 0 || !relay.hasRoom()
      wake()
      return !stopped
    }
  })
  response.on('data', bytes => {
    relay.add(bytes)
    left -= bytes.length
    if (left === 0) giveBack() // the connection is good for another request
    wake()
  })
  const fail = (error: Error): void => {
    failure ??= error
    wake()
  }
  const closed = (): void => fail(Object.assign(new Error('the connection was closed'), { code: 'ECONNRESET' }))
  response.on('error', fail)
  response.on('close', closed)
  // One that broke before anybody read it tells nothing any more.
  if (response.destroyed) closed()
  return {
    goOn: () => {
      if (!stopped || left === 0 || !relay.hasRoom()) return
      stopped = false
      socket.resume()
    },
    isOver: () => left === 0,
    more: () => {
      if (failure) return Promise.reject(failure)
      return new Promise(resolve => {
        // Whatever comes in one go is taken together.
        wake = () => {
          wake = ignore
          setImmediate(resolve)
        }
      })
    },
    end: () => {
      giveBack()
      if (!response.complete) response.destroy()
    }
  }
}

const ignore = (): void => undefined
