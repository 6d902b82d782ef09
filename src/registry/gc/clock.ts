/** What two clocks of one machine may drift apart by themselves, as a part of the time passed. */
const DRIFT = 0.002
const GRAIN_MS = 500

/**
 * The time in ms, for one collection. Ages and the time a listing takes are compared by it, so it throws once the clock
 * of the machine was set, or the machine stood still, since the last look: nothing that was seen before can be trusted
 * then, and a collection that stops does no harm.
 */
export function createClock(wall = Date.now, steady = () => performance.now()): () => number {
  let [lastWall, lastSteady] = [wall(), steady()]
  return () => {
    const [time, ticks] = [wall(), steady()]
    const [passed, ticked] = [time - lastWall, ticks - lastSteady]
    if (Math.abs(passed - ticked) > GRAIN_MS + DRIFT * ticked) {
      throw new Error(
        `the clocks went ${Math.round(passed - ticked)} ms apart: the time was set, or the machine stood still`
      )
    }
    lastWall = time
    lastSteady = ticks
    return time
  }
}
