import t from 'tap'
import { explore } from './explore.ts'
import { pairs } from './scenes.ts'

/** All of them, or a few that take no time. */
const wanted =
  process.env.PROOF === 'full'
    ? pairs()
    : pairs().filter(
        ({ scene }, index) => scene.jumps.length === 0 && /collect\w+$/.test(scene.title) && index % 7 === 0
      )

t.test('whatever two do at once, with a crash anywhere, what was answered stays and garbage goes', async t => {
  for (const { scene, interruptions } of wanted) {
    const { states } = await explore(scene, interruptions === undefined ? {} : { interruptions })
    t.ok(states > 0, `${scene.title}: ${states} states`)
  }
})
