import { type AgentOptions, Agent as HttpAgent, type IncomingMessage } from 'node:http'
import { Agent as HttpsAgent, type AgentOptions as HttpsAgentOptions } from 'node:https'
import type { OnReadOpts, Socket } from 'node:net'

/** As much as Node reads at a time by itself. */
const READ = 64 * 1024
/** The rest of a buffer is read into while it is worth a read. */
const LEAST = 16 * 1024

/** An answer of S3, whose body is read. */
export type Answer = IncomingMessage

/** Takes what a connection reads, in place of the HTTP client. */
export interface Receiver {
  /** Where the next read goes; undefined: the HTTP client has to have it, after what it has not handed on yet. */
  buffer(): Buffer | undefined
  /** So many bytes were read into it. False: no more is read until the socket is resumed. */
  received(length: number): boolean
}

const receivers = new WeakMap<Socket, Receiver>()

/**
 * Hands the receiver what a connection of these agents reads from now on. The HTTP client doesn't hear of these bytes, so
 * the connection has to be closed after them.
 *
 * @returns ends it, where none of them came
 */
export function divert(socket: Socket, receiver: Receiver): () => void {
  receivers.set(socket, receiver)
  return () => void receivers.delete(socket)
}

/** Agents whose connections can be diverted. */
export function createAgents(options: AgentOptions, trust: HttpsAgentOptions) {
  return {
    httpAgent: divertible(new HttpAgent(options)),
    httpsAgent: divertible(new HttpsAgent({ ...options, ...trust }))
  }
}

type Connect = (options: object, done?: (error: Error | null, socket: Socket) => void) => Socket

function divertible<A extends HttpAgent>(agent: A): A {
  const connect = agent.createConnection.bind(agent) as Connect
  const connectReading: Connect = (options, done) => {
    let socket: Socket | undefined // a first buffer is asked for while it is being made
    socket = connect({ ...options, onread: reading(() => socket) }, done)
    return socket
  }
  return Object.assign(agent, { createConnection: connectReading })
}

/** Reads into buffers that belong to whoever reads the socket, so no bytes are used twice; or into a receiver's. */
function reading(socketOf: () => Socket | undefined): OnReadOpts {
  let free = Buffer.alloc(0)
  /** Whose buffer is being read into. */
  let receiver: Receiver | undefined
  return {
    buffer: () => {
      const socket = socketOf()
      const diverted = socket && receivers.get(socket)
      const buffer = diverted?.buffer()
      receiver = buffer && diverted
      if (buffer) return buffer
      if (free.length < LEAST) free = Buffer.allocUnsafeSlow(READ)
      return free
    },
    callback: length => {
      if (receiver) return receiver.received(length)
      const bytes = free.subarray(0, length)
      free = free.subarray(length)
      return socketOf()?.push(bytes) ?? false
    }
  }
}
