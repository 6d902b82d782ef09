/**
 * Plays one scene of the proof: `play.ts BEGINNING WORK,… [JUMPS]`. Ends with status 1, and says why and after which
 * steps, when something does not hold.
 */
import type { BeginningName } from './beginnings.ts'
import { explore } from './explore.ts'
import { sceneOf } from './scenes.ts'
import type { WorkName } from './works.ts'

const [beginning, works = '', jumps = '0'] = process.argv.slice(2)
const scene = sceneOf(beginning as BeginningName, works.split(',') as WorkName[], Number(jumps))
try {
  const { states, runs } = await explore(scene)
  console.log(`${scene.title}: holds in ${states} states, ${runs} runs`)
} catch (error) {
  console.log((error as Error).message)
  process.exitCode = 1
}
