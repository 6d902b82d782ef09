import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Figures } from './figures.ts'
import type { Job, LoadResult } from './load.ts'
import type { Server } from './server.ts'

/** What is to be done, whoever it is sent to. */
type Work = Omit<Job, 'port' | 'authorization'>

export interface Driven {
  /** One for each job. */
  results: LoadResult[]
  /** What the server and its children spent on all of them. */
  cpuSeconds: number
}

const program = join(import.meta.dirname, 'load.ts')

/**
 * Puts load on a server, each job from a process of its own. They begin together once all are connected; when the
 * first job has ended the others are stopped.
 */
export async function drive(server: Server, jobs: Work[]): Promise<Driven> {
  const loads = jobs.map(() => fork(program, { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] }))
  try {
    const answers = loads.map(answersOf)
    for (const [index, load] of loads.entries())
      load.send({ ...jobs[index], port: server.port, authorization: server.peer.authorization })
    for (const answer of answers) await answer()
    const before = await server.use()
    for (const load of loads) load.send('go')
    const first = (await answers[0]!()) as LoadResult
    for (const load of loads.slice(1)) load.send('stop')
    const others = await Promise.all(answers.slice(1).map(answer => answer()))
    const after = await server.use()
    return { results: [first, ...(others as LoadResult[])], cpuSeconds: after.cpuSeconds - before.cpuSeconds }
  } finally {
    for (const load of loads) load.kill()
  }
}

/** One job that does small things many times. */
export async function rateOf(server: Server, job: Work): Promise<Figures> {
  const { results, cpuSeconds } = await drive(server, [job])
  const { done, seconds, p50, p99 } = results[0]!
  return { perSecond: done / seconds, perCpuSecond: done / cpuSeconds, p50, p99 }
}

/** One job that does something large: how long it took. */
export async function timeOf(server: Server, job: Work): Promise<Figures> {
  const { results, cpuSeconds } = await drive(server, [job])
  return { seconds: results[0]!.seconds, cpuSeconds }
}

/** Returns a function that gives the next message of the process, and throws once it has failed. */
function answersOf(load: ChildProcess): () => Promise<unknown> {
  let failure = ''
  load.stderr?.on('data', (text: Buffer) => {
    failure += text
  })
  const failed = new Promise<never>((_, reject) => {
    load.once('error', reject)
    load.once('close', () => reject(new Error(/^\w*Error: (.*)$/m.exec(failure)?.[1] ?? `The load failed: ${failure}`)))
  })
  failed.catch(() => undefined)
  const queue: unknown[] = []
  load.on('message', message => queue.push(message))
  return async () => {
    while (queue.length === 0) await Promise.race([once(load, 'message'), failed])
    return queue.shift()
  }
}
