export interface Checks {
  /** Runs one named check and prints its outcome: `ok` with its time and the figures it returns, or `FAIL` and why. */
  check(name: string, run: () => Promise<string | undefined>): Promise<void>
  /** Prints the closing `N passed, N failed` and ends the program with a status that says the same. */
  close(): never
  readonly failed: number
}

/**
 * Counts the checks of one program.
 *
 * @param minutes after which the program is ended as failed, so that a server that hangs cannot hang its tests too
 */
export function createChecks(minutes: number): Checks {
  let passed = 0
  let failed = 0
  const fail = (name: string, reason: unknown) => {
    failed += 1
    const text = reason instanceof Error ? reason.message : String(reason)
    console.log(`FAIL ${name}\n${text.trimEnd().replace(/^/gm, '     ')}`)
  }
  const close = () => {
    console.log(`${passed} passed, ${failed} failed`)
    process.exit(failed === 0 ? 0 : 1)
  }
  setTimeout(() => {
    fail('in time', `not done after ${minutes} minutes`)
    close()
  }, minutes * 60_000)
  return {
    async check(name, run) {
      const begun = performance.now()
      try {
        const figures = await run()
        passed += 1
        const seconds = ((performance.now() - begun) / 1000).toFixed(1)
        console.log(`ok   ${name}: ${figures === undefined ? '' : `${figures}, `}${seconds} s`)
      } catch (error) {
        fail(name, error)
      }
    },
    close,
    get failed() {
      return failed
    }
  }
}
