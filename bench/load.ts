/** A process that puts load on a server: it is told a job, connects, says so, begins when told, and tells the result. */
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Connection, openConnection } from './connection.ts'
import { createTask, type Task, type TaskOptions } from './tasks.ts'

export interface Job {
  port: number
  authorization?: string | undefined
  /** Connections, each with one request at a time. */
  clients: number
  task: TaskOptions
  /** How often the task is done at the most, over all clients. Default: until the time is up, or it is stopped. */
  count?: number
  /** Default: without end. */
  seconds?: number
  /** How often a second at the most, over all clients. Default: as fast as the server answers. */
  perSecond?: number
}

export interface LoadResult {
  /** How often the task was done. */
  done: number
  seconds: number
  /** Latency of one task, in milliseconds. */
  p50: number
  p99: number
}

let stopped = false
const [job] = (await once(process, 'message')) as [Job]
const perform = createTask(job.task)
const connections = await Promise.all(
  Array.from({ length: job.clients }, () => openConnection(job.port, job.authorization))
)
const told = once(process, 'message')
process.send?.('ready')
await told
process.on('message', () => {
  stopped = true
})
process.send?.(await work(perform, job, connections))
for (const connection of connections) connection.close()
process.disconnect()

async function work(
  perform: Task,
  { count = Infinity, seconds = Infinity, perSecond = Infinity }: Job,
  clients: Connection[]
): Promise<LoadResult> {
  const latencies: number[] = []
  const begun = performance.now()
  const deadline = begun + seconds * 1000
  let turn = 0
  const client = async (connection: Connection) => {
    while (turn < count && !stopped) {
      const started = performance.now()
      if (started >= deadline) return
      const early = begun + (turn / perSecond) * 1000 - started
      if (early > 0) {
        await sleep(early)
        continue
      }
      const part = await perform(connection, turn++)
      latencies.push(part ?? performance.now() - started)
    }
  }
  await Promise.all(clients.map(client))
  const sorted = Float64Array.from(latencies).sort()
  const quantile = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
  const elapsed = (performance.now() - begun) / 1000
  return { done: sorted.length, seconds: elapsed, p50: quantile(0.5), p99: quantile(0.99) }
}
