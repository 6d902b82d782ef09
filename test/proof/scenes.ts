import fc from 'fast-check'
import { type BeginningName, beginnings } from './beginnings.ts'
import { HALF } from './room.ts'
import type { Scene } from './run.ts'
import { type WorkName, works } from './works.ts'

/** Who may meet, by what is there in the beginning. */
const meetings: Record<string, { at: BeginningName[]; works: WorkName[] }> = {
  blobs: {
    at: ['nothing', 'layer', 'oldLayer'],
    works: [
      'pushLayer',
      'pushLayerToB',
      'pushImage',
      'headAndPut',
      'putTagged',
      'mountAndPut',
      'mountFromAnywhere',
      'deleteLayer',
      'deleteRepository',
      'collectLinks',
      'collectContents',
      'collectCatalog'
    ]
  },
  manifests: {
    at: ['image', 'oldImage'],
    works: [
      'pushImage',
      'headAndPut',
      'moveTag',
      'putIndex',
      'putSignature',
      'deleteManifest',
      'deleteTag',
      'deleteLayer',
      'deleteRepository',
      'collectLinks',
      'collectUntagged',
      'collectDangling',
      'collectCatalog'
    ]
  },
  'immutable tags': {
    at: ['layer', 'image'],
    works: ['putImmutable', 'putOtherImmutable', 'deleteManifest', 'deleteTag', 'collectUntagged']
  },
  untagged: {
    at: ['untagged', 'oldUntagged', 'index', 'oldIndex'],
    works: [
      'headAndPut',
      'putTagged',
      'putIndex',
      'putSignature',
      'deleteManifest',
      'collectLinks',
      'collectUntagged',
      'collectDangling'
    ]
  },
  contents: {
    at: ['lost', 'oldLost', 'shared', 'oldShared', 'halfLost', 'oldHalfLost', 'staleHint'],
    works: [
      'pushLayer',
      'pushLayerToB',
      'mountAndPut',
      'mountFromAnywhere',
      'deleteLayer',
      'collectLinks',
      'collectLinksOfB',
      'collectContents'
    ]
  },
  sessions: {
    at: ['session', 'wholeSession'],
    works: ['closeSession', 'closeEmpty', 'closeWrongly', 'streamRest', 'takeOver', 'cancelSession', 'collectContents']
  },
  'sessions of no bytes': {
    at: ['begun'],
    works: ['streamAll', 'appendOther', 'takeOver', 'cancelSession']
  },
  'sessions that ended': {
    at: ['committed', 'oldCommitted', 'marked', 'oldMarked', 'closed', 'oldClosed'],
    works: [
      'closeEmpty',
      'closeWrongly',
      'takeOver',
      'cancelSession',
      'pushLayerToB',
      'collectLinks',
      'collectContents'
    ]
  }
}

/** `jumps`: how often nearly half of a grace may pass, which a request may just last. */
export const sceneOf = (beginning: BeginningName, names: WorkName[], jumps = 0): Scene => ({
  title: [beginning, ...names, ...(jumps > 0 ? [jumps] : [])].join(' '),
  beginning: beginnings[beginning],
  works: names.map(name => works[name]),
  jumps: Array<number>(jumps).fill(HALF - 1)
})

/** Every two who may meet, at once and, where one of them collects, while time passes. */
export function pairs(): Scene[] {
  return Object.values(meetings).flatMap(({ at, works }) =>
    at.flatMap(beginning =>
      works.flatMap((first, index) =>
        works.slice(index).flatMap(second => {
          const timed = [first, second].some(name => name.startsWith('collect'))
          return [0, ...(timed ? [1] : [])].map(jumps => sceneOf(beginning, [first, second], jumps))
        })
      )
    )
  )
}

/** Three who may meet where the rules have to do with more than two. */
export function threes(): Scene[] {
  const scenes: [BeginningName, WorkName[], number?][] = [
    ['oldHalfLost', ['mountBack', 'deleteLayerOfB', 'collectContents']],
    ['halfLost', ['mountBack', 'deleteLayerOfB', 'collectContents'], 1],
    ['oldShared', ['mountAndPut', 'collectLinks', 'collectContents'], 1],
    ['oldShared', ['mountAndPut', 'collectLinks', 'collectLinksOfB'], 1],
    ['oldHalfLost', ['pushLayerToB', 'collectLinksOfB', 'collectContents'], 1],
    ['oldLayer', ['headAndPut', 'collectLinks', 'collectLinks'], 1],
    ['oldLayer', ['putTagged', 'deleteLayer', 'collectLinks']],
    ['oldImage', ['moveTag', 'deleteManifest', 'collectUntagged']],
    ['oldUntagged', ['putTagged', 'deleteManifest', 'collectUntagged']],
    ['oldUntagged', ['putIndex', 'deleteTag', 'collectUntagged']],
    ['oldUntagged', ['putTagged', 'collectUntagged', 'collectLinks'], 1],
    ['oldIndex', ['putIndex', 'deleteManifest', 'collectUntagged']],
    ['oldImage', ['deleteRepository', 'pushImage', 'collectCatalog']],
    ['layer', ['putImmutable', 'putOtherImmutable', 'deleteTag']],
    ['begun', ['streamAll', 'takeOver', 'cancelSession']],
    ['oldMarked', ['closeEmpty', 'takeOver', 'collectContents']]
  ]
  return scenes.map(([beginning, names, jumps]) => sceneOf(beginning, names, jumps))
}

/** Who may be drawn at random, all in the repository `a`. */
const crowd: WorkName[] = [
  'pushLayer',
  'pushSmallLayer',
  'pushImage',
  'headAndPut',
  'putTagged',
  'moveTag',
  'putIndex',
  'putSignature',
  'mountAndPut',
  'mountBack',
  'mountFromAnywhere',
  'deleteManifest',
  'deleteTag',
  'deleteLayer',
  'collectLinks',
  'collectContents',
  'collectAll',
  'collectAllUntagged'
]
const crowded: BeginningName[] = ['nothing', 'oldLayer', 'image', 'oldImage', 'oldIndex', 'oldShared', 'oldHalfLost']

/** Many at random, with time that passes, and the numbers that say who goes on. */
export const crowds: fc.Arbitrary<[scene: Scene, picks: number[]]> = fc.tuple(
  fc
    .tuple(fc.constantFrom(...crowded), fc.array(fc.constantFrom(...crowd), { minLength: 3, maxLength: 6 }))
    .map(([beginning, names]) => sceneOf(beginning, names, 3)),
  fc.array(fc.nat({ max: 30 }), { minLength: 20, maxLength: 80 })
)
