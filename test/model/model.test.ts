import t from 'tap'
import { manifestModel, type Rule } from './manifests.ts'
import { search } from './search.ts'

const rules: Rule[] = ['fresh record', 'grace', 'pick first', 'tag last', 'look again', 'catalog again', 'entry again']

t.test('a manifest, its tag and its repository, with all who may meet over them', async t => {
  const { states, fault } = search(manifestModel())
  t.strictSame(fault, undefined)
  t.ok(states > 1000, `${states} states`)
})

t.test('each rule is needed', async t => {
  for (const rule of rules) {
    const { fault } = search(manifestModel(rule))
    t.ok(fault, `without "${rule}": ${fault?.what}`)
  }
})
