import t from 'tap'
import { explore } from './explore.ts'
import { pairs } from './scenes.ts'

/** A few that take no time; `whole.ts` has all. */
const few = pairs().filter(
  ({ jumps, title }, index) => jumps.length === 0 && /collect\w+$/.test(title) && index % 7 === 0
)

t.test('whatever two do at once, with a crash anywhere, what was answered stays and garbage goes', async t => {
  for (const scene of few) {
    const { states } = await explore(scene)
    t.ok(states > 0, `${scene.title}: ${states} states`)
  }
})
