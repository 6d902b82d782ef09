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
    at: ['lost', 'oldLost', 'shared', 'oldShared', 'halfLost', 'oldHalfLost'],
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

export const sceneOf = (beginning: BeginningName, names: WorkName[], jumps = 0): Scene => ({
  title: [beginning, ...names].join(' '),
  beginning: beginnings[beginning],
  works: names.map(name => works[name]),
  jumps: Array<number>(jumps).fill(HALF - 1)
})

/** Those that make more than one request: what each of them does is met in others by itself. */
const several = new Set<WorkName>([
  'pushImage',
  'headAndPut',
  'mountAndPut',
  'mountFromAnywhere',
  'streamAll',
  'streamRest',
  'takeOver'
])

interface Meeting {
  scene: Scene
  /** At most; undefined: any number. */
  interruptions?: number
}

/** Every two who may meet: in every order at once, and with few interruptions while time passes. */
export function pairs(): Meeting[] {
  return Object.values(meetings).flatMap(({ at, works }) =>
    at.flatMap(beginning =>
      works.flatMap((first, index) =>
        works.slice(index).flatMap(second => {
          const manifold = several.has(first) && several.has(second)
          const timed = [first, second].some(name => name.startsWith('collect'))
          return [
            { scene: sceneOf(beginning, [first, second]), ...(manifold && { interruptions: 2 }) },
            ...(timed ? [{ scene: sceneOf(beginning, [first, second], 1), interruptions: 2 }] : [])
          ]
        })
      )
    )
  )
}

/** Three who may meet where the rules have to do with more than two. */
export function threes(): Meeting[] {
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
    ['begun', ['streamAll', 'takeOver', 'cancelSession']],
    ['oldMarked', ['closeEmpty', 'takeOver', 'collectContents']]
  ]
  return scenes.map(([beginning, names, jumps]) => ({ scene: sceneOf(beginning, names, jumps), interruptions: 2 }))
}

/** Who may be drawn at random, all in the repository `a`. */
export const crowd: WorkName[] = [
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
export const crowded: BeginningName[] = [
  'nothing',
  'oldLayer',
  'image',
  'oldImage',
  'oldIndex',
  'oldShared',
  'oldHalfLost'
]
