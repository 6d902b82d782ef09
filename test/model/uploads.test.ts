import t from 'tap'
import { search } from './search.ts'
import { type UploadRule, uploadModel } from './uploads.ts'

/** What the one who streams sends, and the one who takes over: either may send bytes that are not the blob's. */
const bytes = [
  ['ab', 'ab'],
  ['ab', 'xx'],
  ['xx', 'ab'],
  ['ax', 'ab']
] as const

t.test('a session that is taken over and cancelled while it is streamed to', async t => {
  for (const [first, second] of bytes) {
    const { states, fault } = search(uploadModel(first, second))
    t.strictSame(fault, undefined)
    t.ok(states > 100, `${states} states`)
  }
})

t.test('each rule is needed', async t => {
  const rules: UploadRule[] = ['compare', 'copy', 'token', 'one ending', 'ending first']
  for (const rule of rules) {
    const faults = bytes.flatMap(([first, second]) => search(uploadModel(first, second, rule)).fault ?? [])
    t.ok(faults.length > 0, `without "${rule}": ${faults[0]?.what}`)
  }
})
