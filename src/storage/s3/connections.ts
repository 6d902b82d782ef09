import { type AgentOptions, Agent as HttpAgent } from 'node:http'
import { Agent as HttpsAgent, type AgentOptions as HttpsAgentOptions } from 'node:https'
import type { OnReadOpts, Socket } from 'node:net'

const SMALLEST = 64 * 1024
const LARGEST = 1024 * 1024

/**
 * Agents whose connections read as much at a time as has come, up to 1 MiB. Node reads 64 KiB, and each read costs more
 * than its bytes: a download of large blobs takes about two thirds of the processor time this way.
 *
 * @param memory bytes that reads may take for all connections together; the more are open the less each one reads
 */
export function createAgents(options: AgentOptions, trust: HttpsAgentOptions, memory: number) {
  const limit = createLimit(memory)
  return {
    httpAgent: withLargeReads(new HttpAgent(options), limit),
    httpsAgent: withLargeReads(new HttpsAgent({ ...options, ...trust }), limit)
  }
}

/** What the connections of a process share. */
interface Limit {
  opened(socket: Socket): void
  /** Most bytes that one connection may read at a time. */
  largest(): number
}

function createLimit(memory: number): Limit {
  let open = 0
  return {
    opened: socket => {
      open++
      socket.once('close', () => open--)
    },
    // What waits for the reader is handed on together: two reads may be on their way to the client, and two wait.
    largest: () => Math.floor(Math.max(SMALLEST, Math.min(LARGEST, memory / (4 * Math.max(1, open)))))
  }
}

type Connect = (options: object, done?: (error: Error | null, socket: Socket) => void) => Socket

function withLargeReads<A extends HttpAgent>(agent: A, limit: Limit): A {
  const connect = agent.createConnection.bind(agent) as Connect
  const connectReading: Connect = (options, done) => {
    const onread = largeReads(limit, bytes => socket.push(bytes))
    // How much waits for a reader before no more is read: with less than a read, connections stop after each.
    const socket: Socket = connect({ ...options, onread, highWaterMark: limit.largest() }, done)
    limit.opened(socket)
    return socket
  }
  return Object.assign(agent, { createConnection: connectReading })
}

/**
 * Buffers to read into. What was read belongs to whoever reads the socket, so no bytes are used twice. Buffers grow
 * while they are filled, so that an answer of a few bytes does not hold a large one.
 */
function largeReads(limit: Limit, push: (bytes: Uint8Array) => boolean): OnReadOpts {
  let free = Buffer.alloc(0)
  let size = SMALLEST
  return {
    buffer: () => {
      if (free.length < Math.min(size, SMALLEST * 4)) free = Buffer.allocUnsafeSlow(size)
      return free
    },
    callback: length => {
      const bytes = free.subarray(0, length)
      size = Math.min(limit.largest(), length === free.length ? size * 2 : Math.max(SMALLEST, length))
      free = free.subarray(length)
      return push(bytes)
    }
  }
}
