/** Goes on with an answer; with an error it becomes the answer to that error. */
export type Proceed = (error?: Error) => void

/**
 * Holds answers back until the requests have been read that came with theirs, and then writes all of them. A write to a
 * client that sleeps wakes it, which takes as long as half of a small answer: while the first is waking, the others are
 * written (docs/architecture.md). Nothing waits where there is nothing to wait for.
 */
export function createAnswers(): { add(proceed: Proceed): void } {
  let held: Proceed[] = []
  const release = (): void => {
    const answers = held
    held = []
    for (const proceed of answers) attempt(proceed)
  }
  return {
    add: proceed => {
      if (held.length === 0) setImmediate(release)
      held.push(proceed)
    }
  }
}

/** What one answer fails with, such as a header that can't be written, is that answer's alone. */
function attempt(proceed: Proceed): void {
  try {
    proceed()
  } catch (error) {
    proceed(error as Error)
  }
}
