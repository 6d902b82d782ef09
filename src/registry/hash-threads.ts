import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import type { Algorithm } from './digest.ts'
import type { HashAnswer, HashRequest } from './hash-thread.ts'

/** A hash that runs in another thread. */
export interface ThreadHash {
  /** Hashes bytes in shared memory. They may be written over once this resolves; it never rejects. */
  update(bytes: Uint8Array): Promise<void>
  /** Ends it. Lower-case hex; undefined: the thread broke off. */
  digest(): Promise<string | undefined>
  /** Ends it without a digest. */
  drop(): void
}

interface Thread {
  /** Hashes that have not ended. */
  open: number
  /** Undefined where the thread broke off. */
  ask(request: HashRequest): Promise<HashAnswer | undefined>
}

/** One core is left to the thread that serves. */
const MOST = Math.max(1, Math.min(4, availableParallelism() - 1))

/** All uploads of the process share them. A thread is started when it is first wanted, and stays. */
const threads = new Set<Thread>()
let ids = 0

/** Begins a hash in the thread that has the fewest. */
export function hashInThread(algorithm: Algorithm): ThreadHash {
  const id = ids++
  const thread = quietest()
  thread.open++
  const end = (how: 'digest' | 'drop'): Promise<HashAnswer | undefined> => {
    thread.open--
    return thread.ask({ id, algorithm, end: how })
  }
  return {
    update: async bytes => void (await thread.ask({ id, algorithm, bytes })),
    digest: async () => (await end('digest'))?.digest,
    drop: () => void end('drop')
  }
}

function quietest(): Thread {
  const [least] = [...threads].sort((a, b) => a.open - b.open)
  if (least && (least.open === 0 || threads.size === MOST)) return least
  const thread = start(() => threads.delete(thread))
  threads.add(thread)
  return thread
}

/** As TypeScript or as built; TypeScript itself rewrites only the paths of imports. */
const PROGRAM = new URL(`./hash-thread${import.meta.url.slice(-3)}`, import.meta.url)

/** A thread keeps the process running only while an answer is awaited. */
function start(over: () => void): Thread {
  const worker = new Worker(PROGRAM, { name: 'hash' })
  worker.unref()
  const awaited: ((answer: HashAnswer | undefined) => void)[] = []
  let ended = false
  const broken = (): void => {
    ended = true
    over()
    for (const answer of awaited.splice(0)) answer(undefined)
  }
  worker.on('message', (answer: HashAnswer) => {
    awaited.shift()?.(answer)
    if (awaited.length === 0) worker.unref()
  })
  worker.on('error', broken)
  worker.on('exit', broken)
  return {
    open: 0,
    ask: request =>
      new Promise(resolve => {
        if (ended) return resolve(undefined)
        if (awaited.push(resolve) === 1) worker.ref()
        worker.postMessage(request)
      })
  }
}
