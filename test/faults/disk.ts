import { linkSync, mkdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Chance } from './chance.ts'

/**
 * What was done to a folder, in its order. Paths are relative to the folder; `''` is the folder itself. `file` stands for
 * what was opened, which may have another name by the time it is written to.
 */
export type DiskStep =
  | { kind: 'open'; file: number; path: string; created: boolean; time: number }
  | { kind: 'write'; file: number; at: number; bytes: Buffer; time: number }
  | { kind: 'truncate'; file: number; size: number; time: number }
  | { kind: 'folder'; path: string }
  | { kind: 'link'; from: string; to: string }
  | { kind: 'rename'; from: string; to: string }
  | { kind: 'remove'; path: string }
  | { kind: 'sync begins'; sync: number; file: number }
  | { kind: 'sync ends'; sync: number }
  | { kind: 'ages'; ms: number }

type Edit = { at: number; bytes: Buffer } | { size: number }

interface Inode {
  folder: boolean
  /** What a power cut leaves of a file for sure, and what came after. */
  durable: Buffer
  pending: Edit[]
  time: number
}

/** A change of names, done whole or not at all (each journal promises that much). */
interface Change {
  sets: { folder: Inode; name: string; inode: Inode | undefined }[]
  /** Changes without which this one would make no sense: earlier ones of the same names. */
  after: Change[]
}

/** Names by folder. */
type Tree = Map<Inode, Map<string, Inode>>

/** A folder that a power cut left, file by file in some order that has each folder before what is in it. */
export interface Left {
  entries: { path: string; folder: boolean; bytes: Buffer; time: number; sameAs: string | undefined }[]
}

/** What is kept of what nobody waited for: nothing, everything (as when a process is killed), or as it happens. */
export type Keeping = 'nothing' | 'everything' | 'some'

/**
 * A file system in memory that knows what of it is durable. A file's bytes are from the end of an fsync on that began
 * after they were written; a name is when the folder that it stands in was fsynced. Nothing else is promised: what is not
 * durable may be there after a power cut or not, in any combination that keeps each change of names whole and the
 * changes of one name in order; bytes may be torn, and zeros where later ones were kept.
 */
export function createDisk() {
  const root = newInode(true, 0)
  const now: Tree = new Map([[root, new Map()]])
  const durable: Tree = new Map([[root, new Map()]])
  const files = new Map<number, Inode>()
  const syncs = new Map<number, () => void>()
  let pending: Change[] = []

  function apply(step: DiskStep): void {
    switch (step.kind) {
      case 'open':
        if (step.created) add(step.path, newInode(false, step.time))
        files.set(step.file, inodeAt(step.path))
        break
      case 'write':
        edit(step.file, { at: step.at, bytes: step.bytes }, step.time)
        break
      case 'truncate':
        edit(step.file, { size: step.size }, step.time)
        break
      case 'folder':
        add(step.path, newInode(true, 0))
        break
      case 'link':
        add(step.to, inodeAt(step.from))
        break
      case 'rename':
        change([
          { ...placeOf(step.to), inode: inodeAt(step.from) },
          { ...placeOf(step.from), inode: undefined }
        ])
        break
      case 'remove':
        change([{ ...placeOf(step.path), inode: undefined }])
        break
      case 'sync begins':
        syncs.set(step.sync, syncOf(files.get(step.file)!))
        break
      case 'sync ends':
        syncs.get(step.sync)!()
        syncs.delete(step.sync)
        break
      case 'ages':
        for (const inode of now.keys()) inode.time -= step.ms
    }
  }

  function placeOf(path: string): { folder: Inode; name: string } {
    const at = path.lastIndexOf('/')
    return { folder: inodeAt(path.slice(0, Math.max(at, 0))), name: path.slice(at + 1) }
  }

  function inodeAt(path: string): Inode {
    let inode = root
    for (const name of path.split('/').filter(Boolean)) {
      const next = now.get(inode)?.get(name)
      if (!next) throw new Error(`nothing is known of ${path}`)
      inode = next
    }
    return inode
  }

  function add(path: string, inode: Inode): void {
    if (!now.has(inode)) now.set(inode, new Map())
    change([{ ...placeOf(path), inode }])
  }

  function change(sets: Change['sets']): void {
    // A folder that goes is empty: all that was done in it was done before. One that is renamed may have more to come.
    const [only] = sets.length === 1 ? sets : []
    const within = only && !only.inode ? now.get(only.folder)?.get(only.name) : undefined
    const after = pending.filter(other =>
      other.sets.some(
        set => set.folder === within || sets.some(({ folder, name }) => folder === set.folder && name === set.name)
      )
    )
    for (const set of sets) setName(now, set)
    pending.push({ sets, after })
  }

  function edit(file: number, made: Edit, time: number): void {
    const inode = files.get(file)!
    inode.pending.push(made)
    inode.time = time
  }

  /** Called at the beginning of an fsync; what it returns, at its end. */
  function syncOf(inode: Inode): () => void {
    if (inode.folder) {
      const covered = pending.filter(({ sets }) => sets.some(({ folder }) => folder === inode))
      return () => settle(covered)
    }
    const edits = [...inode.pending]
    return () => {
      const rest = inode.pending.filter(one => !edits.includes(one))
      const fresh = edits.filter(one => inode.pending.includes(one))
      inode.durable = fresh.reduce(edited, inode.durable)
      inode.pending = rest
    }
  }

  function settle(changes: Change[]): void {
    const kept = withEarlier(changes)
    for (const { sets } of pending) if (kept.has(sets)) for (const set of sets) setName(durable, set)
    pending = pending.filter(({ sets }) => !kept.has(sets))
    for (const one of pending) one.after = one.after.filter(({ sets }) => !kept.has(sets))
  }

  /** What a power cut may leave now. */
  function cut(keeping: Keeping, chance: Chance): Left {
    const share = chance.between(1, 9) / 10
    const keeps = () => keeping === 'everything' || (keeping === 'some' && chance.happens(share))
    const kept = withEarlier(pending.filter(keeps))
    const tree: Tree = new Map([...durable].map(([folder, names]) => [folder, new Map(names)]))
    for (const { sets } of pending) if (kept.has(sets)) for (const set of sets) setName(tree, set)
    const contents = new Map<Inode, Buffer>()
    const bytesOf = (inode: Inode): Buffer => {
      const known = contents.get(inode) ?? remains(inode, keeping, keeps, chance)
      contents.set(inode, known)
      return known
    }
    return { entries: walk(tree, root, bytesOf) }
  }

  return { apply, cut }
}

export type Disk = ReturnType<typeof createDisk>

/** Makes a folder that holds what a power cut left. */
export function restore({ entries }: Left, into: string): void {
  rmSync(into, { recursive: true, force: true })
  mkdirSync(into)
  for (const { path, folder, bytes, time, sameAs } of entries) {
    const at = join(into, path)
    if (folder) mkdirSync(at)
    else if (sameAs !== undefined) linkSync(join(into, sameAs), at)
    else {
      writeFileSync(at, bytes)
      utimesSync(at, time / 1000, time / 1000)
    }
  }
}

function newInode(folder: boolean, time: number): Inode {
  return { folder, durable: Buffer.alloc(0), pending: [], time }
}

function setName(tree: Tree, { folder, name, inode }: Change['sets'][number]): void {
  const names = tree.get(folder) ?? new Map<string, Inode>()
  tree.set(folder, names)
  if (inode) names.set(name, inode)
  else names.delete(name)
}

function withEarlier(changes: Change[]): Set<Change['sets']> {
  const kept = new Set<Change['sets']>()
  const keep = ({ sets, after }: Change): void => {
    if (kept.has(sets)) return
    kept.add(sets)
    after.forEach(keep)
  }
  changes.forEach(keep)
  return kept
}

function remains(inode: Inode, keeping: Keeping, keeps: () => boolean, chance: Chance): Buffer {
  let bytes = inode.durable
  for (const made of inode.pending) {
    if (!keeps()) continue
    const torn = keeping === 'some' && 'bytes' in made && chance.happens(0.3)
    bytes = edited(
      bytes,
      torn ? { ...made, bytes: made.bytes.subarray(0, chance.between(0, made.bytes.length)) } : made
    )
  }
  return bytes
}

function edited(bytes: Buffer, made: Edit): Buffer {
  if ('size' in made) {
    return Buffer.concat([bytes.subarray(0, made.size), Buffer.alloc(Math.max(0, made.size - bytes.length))])
  }
  const result = Buffer.alloc(Math.max(bytes.length, made.at + made.bytes.length))
  bytes.copy(result)
  made.bytes.copy(result, made.at)
  return result
}

function walk(tree: Tree, root: Inode, bytesOf: (inode: Inode) => Buffer): Left['entries'] {
  const entries: Left['entries'] = []
  const seen = new Map<Inode, string>()
  const visit = (folder: Inode, base: string): void => {
    for (const [name, inode] of [...(tree.get(folder) ?? [])].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const path = base + name
      const bytes = inode.folder ? Buffer.alloc(0) : bytesOf(inode)
      entries.push({ path, folder: inode.folder, bytes, time: inode.time, sameAs: seen.get(inode) })
      seen.set(inode, path)
      if (inode.folder) visit(inode, `${path}/`)
    }
  }
  visit(root, '')
  return entries
}
