import t from 'tap'
import { contentModel, type Scene } from './contents.ts'
import { type ContentRule, GRACE } from './contents-programs.ts'
import { search } from './search.ts'

const OLD = GRACE + 1

const scenes = {
  'a push of a blob that is about to go': {
    actors: ['push', 'delete the manifest', 'collect links'],
    link: OLD,
    manifest: true
  },
  'two collections of links of the same age': {
    actors: ['push the same bytes', 'collect links', 'collect links too'],
    link: 0,
    manifest: true
  },
  'a mount from where the blob is deleted': {
    actors: ['mount', 'delete the blob', 'collect contents'],
    link: 0,
    entry: OLD
  },
  'an upload of bytes that are about to go': {
    actors: ['share', 'delete the blob', 'collect contents'],
    link: OLD,
    entry: OLD
  },
  'an upload that ends late': { actors: ['end late', 'collect contents', 'collect contents too'] }
} satisfies Record<string, Scene>

/** Where each rule is needed. */
const needed: Record<ContentRule, keyof typeof scenes> = {
  'fresh link': 'a push of a blob that is about to go',
  grace: 'a push of a blob that is about to go',
  'pick first': 'a push of a blob that is about to go',
  'picked only': 'a push of a blob that is about to go',
  'surely newer': 'two collections of links of the same age',
  'entry first': 'a mount from where the blob is deleted',
  'entry in time': 'a mount from where the blob is deleted',
  'entry grace': 'a mount from where the blob is deleted',
  'entry again': 'a mount from where the blob is deleted',
  'no sharing': 'an upload of bytes that are about to go',
  'gone stays': 'an upload of bytes that are about to go',
  'young entry': 'an upload that ends late'
}

t.test('a blob, its links and its content, with all who may meet over them', async t => {
  for (const [name, scene] of Object.entries(scenes)) {
    const { states, fault } = search(contentModel(scene))
    t.strictSame(fault, undefined, name)
    t.ok(states > 1000, `${name}: ${states} states`)
  }
})

t.test('each rule is needed', async t => {
  for (const [rule, scene] of Object.entries(needed) as [ContentRule, keyof typeof scenes][]) {
    const { fault } = search(contentModel(scenes[scene], rule))
    t.ok(fault, `without "${rule}": ${fault?.what}`)
  }
})
