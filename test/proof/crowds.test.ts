import fc from 'fast-check'
import t from 'tap'
import { explore, playOnce } from './explore.ts'
import { HALF } from './room.ts'
import { crowd, crowded, sceneOf, threes } from './scenes.ts'

const FULL = process.env.PROOF === 'full'

t.test('three at once, who interrupt each other twice at most', async t => {
  for (const [index, { scene, interruptions = 2 }] of threes().entries()) {
    if (!FULL && index !== 6) continue
    const { states } = await explore(scene, { interruptions })
    t.ok(states > 0, `${scene.title}: ${states} states`)
  }
})

t.test('many at once, in any order', async t => {
  let steps = 0
  const works = fc.array(fc.constantFrom(...crowd), { minLength: 3, maxLength: 6 })
  const picks = fc.array(fc.nat({ max: 30 }), { minLength: 20, maxLength: 80 })
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...crowded), works, picks, async (beginning, works, picks) => {
      steps += await playOnce({ ...sceneOf(beginning, works), jumps: [HALF - 1, HALF - 1, HALF - 1] }, picks)
    }),
    { numRuns: FULL ? 1000 : 10 }
  )
  t.ok(steps > 0, `${steps} steps`)
})
