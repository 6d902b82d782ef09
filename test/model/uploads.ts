import type { Model } from './search.ts'

/** The rules that can be left out. */
export type UploadRule = 'compare' | 'copy' | 'token' | 'one ending' | 'ending first'

/** What is pushed; all who close the session ask for its digest. */
const BLOB = 'ab'
const END = 99

interface Actor {
  at: number
  /** What it sends from where the session stands when it comes. */
  sends: string
  /** The session as it last saw it: who wrote, and how many bytes. */
  writer: string
  size: number
  /** The file that it writes to, and at which byte. */
  file: number
  offset: number
  /** The bytes that it has hashed, if it has all of them from the first one on. */
  hashed: string | undefined
  /** 'made': its closing was answered 201; 'none': refused, or it cancelled the session. */
  answered: '' | 'made' | 'none'
}

/** One session, as a folder has it: its file may be written to by whoever still has it open. */
interface State {
  files: string[]
  /** The session's file; -1: it has none, be it yet or any more. */
  file: number
  writer: string
  /** Somebody is writing. */
  open: boolean
  /** The file that became content; -1: none did. */
  content: number
  ending: '' | 'made' | 'none'
  linked: boolean
  actors: Record<string, Actor>
}

type Without = (rule: UploadRule) => boolean
type Step = (state: State, actor: Actor, name: string, without: Without) => void

const sizeOf = ({ files, file }: State): number => (file < 0 ? 0 : files[file]!.length)

/** Looks where the session stands. */
const look: Step = (state, actor) => {
  actor.writer = state.writer
  actor.size = sizeOf(state)
  actor.at = state.ending !== '' || state.content >= 0 ? 4 : 1
}

/** Takes the session over as it was seen, and no other: what an open one has is copied first. */
const takeOver: Step = (state, actor, name, without) => {
  actor.at = 4
  const same = state.writer === actor.writer && sizeOf(state) === actor.size && state.content < 0
  if (!same && !without('compare')) return
  if (state.content >= 0) return
  if (state.file < 0) state.file = state.files.push('') - 1
  else if (state.open && !without('copy')) state.file = state.files.push(state.files[state.file]!) - 1
  state.writer = name
  state.open = true
  actor.file = state.file
  actor.offset = actor.size
  actor.hashed = actor.size === 0 ? '' : undefined
  actor.at = 2
}

/** A byte goes to the file that was opened, whatever has become of the session. */
const write: Step = (state, actor, name) => {
  const byte = actor.sends[actor.offset]
  if (byte === undefined) {
    if (state.writer === name) state.open = false
    actor.at = 4
    return
  }
  const before = state.files[actor.file]!
  state.files[actor.file] = before.slice(0, actor.offset) + byte + before.slice(actor.offset + 1)
  actor.offset++
  if (actor.hashed !== undefined) actor.hashed += byte
}

const closeFrom: Step = (state, actor) => {
  if (state.ending !== '') return repeat(state, actor)
  actor.writer = state.writer
  actor.size = sizeOf(state)
  actor.at = state.content >= 0 || state.file >= 0 ? 5 : END
}

/** The file becomes content as it is; nothing is copied. What one had hashed alone need not be read. */
const commit: Step = (state, actor, name, without) => {
  if (state.content < 0) {
    if (state.file < 0 || state.writer !== actor.writer || sizeOf(state) !== actor.size) {
      actor.at = END
      return
    }
    const alone = actor.writer === name && actor.hashed?.length === actor.size
    if (!alone && !(without('token') && actor.hashed !== undefined)) actor.hashed = state.files[state.file]!
    state.content = state.file
    state.file = -1
  } else actor.hashed = state.files[state.content]!
  actor.at = actor.hashed === BLOB ? 6 : 8
}

const end: Step = (state, actor, _, without) => {
  if (without('ending first')) state.linked = true
  const mine = state.ending === ''
  if (mine) state.ending = 'made'
  if (!mine && !without('one ending')) return repeat(state, actor)
  actor.at = 7
}

const link: Step = (state, actor) => {
  state.linked = true
  actor.answered = 'made'
  actor.at = END
}

const refuse: Step = (state, actor) => {
  if (state.ending === '') state.ending = 'none'
  actor.answered = 'none'
  actor.at = END
}

/** On a session that has ended: well again if it ended well, and who ended it may have died before the link. */
function repeat(state: State, actor: Actor): void {
  actor.at = END
  actor.answered = state.ending as 'made' | 'none'
  if (state.ending === 'made') state.linked = true
}

const steps: Record<number, Step> = {
  0: look,
  1: takeOver,
  2: write,
  4: closeFrom,
  5: commit,
  6: end,
  7: link,
  8: refuse
}

const copyOf = (state: State): State => structuredClone(state)

/** A session that one client streams to, another takes over with bytes of its own, and a third cancels. */
export function uploadModel(first: string, second: string, leftOut?: UploadRule): Model<State> {
  const client = (sends: string, at = 0): Actor => ({
    at,
    sends,
    writer: '',
    size: 0,
    file: -1,
    offset: 0,
    hashed: undefined,
    answered: ''
  })
  return {
    begin: {
      files: [],
      file: -1,
      writer: '',
      open: false,
      content: -1,
      ending: '',
      linked: false,
      actors: { first: client(first), second: client(second), cancels: client('', 8) }
    },
    moves(state) {
      const moves: [string, State][] = []
      for (const [name, { at }] of Object.entries(state.actors)) {
        if (at === END) continue
        const after = copyOf(state)
        steps[at]!(after, after.actors[name]!, name, rule => rule === leftOut)
        moves.push([`${name} ${at}`, after])
      }
      return moves
    },
    broken({ linked, content, files, ending, actors }) {
      const has = content < 0 ? undefined : files[content]
      if (linked && has !== BLOB) return `the blob has the bytes ${has}`
      if (linked && ending === 'none') return 'a session that was cancelled became a blob'
      const answered = Object.values(actors).some(({ answered }) => answered === 'made')
      return answered && !linked ? 'a push that was answered is not there' : undefined
    }
  }
}
