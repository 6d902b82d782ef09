import fc from 'fast-check'
import t from 'tap'
import { explore, playOnce } from './explore.ts'
import { crowds, threes } from './scenes.ts'

t.test('three at once, in every order', async t => {
  const scene = threes().find(({ title }) => title === 'oldLayer putTagged deleteLayer collectLinks')!
  const { states } = await explore(scene)
  t.ok(states > 0, `${scene.title}: ${states} states`)
})

t.test('many at once, in any order', async t => {
  let steps = 0
  const property = fc.asyncProperty(crowds, async ([scene, picks]) => {
    steps += await playOnce(scene, picks)
  })
  await fc.assert(property, { numRuns: 10 })
  t.ok(steps > 0, `${steps} steps`)
})
