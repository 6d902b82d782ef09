import { setTimeout as pause } from 'node:timers/promises'
import { send } from '../reliability/http.ts'

/** ms that another request may wait for its answer: what a busy machine takes anyway, and more. */
const OTHERS_WAIT_MS = 1500

/** Another client that asks something small all the time, while the server is given something hard. */
export function watchOthers(url: string) {
  let [most, count, over] = [0, 0, false]
  let failure: unknown
  const asking = (async () => {
    while (!over) {
      const begun = performance.now()
      await send(`${url}/livez`)
      most = Math.max(most, Math.round(performance.now() - begun))
      count += 1
      await pause(5)
    }
  })().catch(error => {
    failure = error
  })
  return {
    /** Stops asking. Throws where an answer took too long. */
    async end(): Promise<string> {
      over = true
      await asking
      if (failure !== undefined) throw failure
      if (most > OTHERS_WAIT_MS) throw new Error(`another request waited ${most} ms`)
      return `${count} others waited ${most} ms at most`
    }
  }
}
