import type { BeginningName } from './beginnings.ts'
import type { WorkName } from './works.ts'

/** A rule of docs/storage.md left out of the code, and what must fail then. */
export interface Mutation {
  rule: string
  /** Text of a file below src/registry, and what stands in its place; each must be there just once. */
  edits: [file: string, text: string, instead: string][]
  /** A scene of the proof, or a test below test/registry where that alone tells what fails. */
  fails: { at: BeginningName; works: WorkName[]; jumps?: number } | { test: string; title?: string }
}

export const mutations: Mutation[] = [
  {
    rule: 'HEAD writes an old link anew',
    edits: [['blobs.ts', 'if (relying && found.ageMs >= graceMs / 2) {', 'if (relying && found.ageMs < 0) {']],
    fails: { at: 'oldLayer', works: ['headAndPut', 'collectLinks'] }
  },
  {
    rule: 'a PUT of a manifest and a mount write an old link anew',
    edits: [
      ['blobs.ts', 'if (found && found.ageMs >= graceMs / 2) await link', 'if (found && found.ageMs < 0) await link']
    ],
    fails: { at: 'oldLayer', works: ['putTagged', 'collectLinks'] }
  },
  {
    rule: 'old is half of the grace, not all of it',
    edits: [
      [
        'blobs.ts',
        'if (found && found.ageMs >= graceMs / 2) await link',
        'if (found && found.ageMs >= graceMs) await link'
      ]
    ],
    fails: { at: 'layer', works: ['putTagged', 'collectLinks'], jumps: 2 }
  },
  {
    rule: 'content that has an entry is not shared',
    edits: [['blobs.ts', 'return !orphaned && stored?.size', 'return stored?.size']],
    fails: { at: 'oldLost', works: ['pushLayerToB', 'collectContents'] }
  },
  {
    rule: 'who takes a link leaves word of it',
    edits: [['orphans.ts', 'await parallel([...lost], WIDTH,', 'await parallel([...lost].slice(lost.size), WIDTH,']],
    fails: { at: 'oldHalfLost', works: ['mountBack', 'deleteLayerOfB', 'collectContents'] }
  },
  {
    rule: 'word of a loss comes before the loss',
    edits: [
      [
        'orphans.ts',
        'for (let tries = 1; ; tries++) {',
        'await storage.delete(links)\n    for (let tries = 1; ; tries++) {'
      ],
      ['orphans.ts', '    }\n    await storage.delete(links)', '    }']
    ],
    fails: { at: 'oldHalfLost', works: ['mountBack', 'deleteLayerOfB', 'collectContents'] }
  },
  {
    rule: 'only links older than the grace are picked',
    edits: [['gc/links.ts', 'links.filter(({ ageMs }) => ageMs > graceMs)', 'links.filter(({ ageMs }) => ageMs >= 0)']],
    fails: { at: 'nothing', works: ['pushImage', 'collectLinks'] }
  },
  {
    rule: 'manifests are read after links were picked',
    edits: [
      [
        'gc/links.ts',
        '  const blobs = grouped(',
        '  const early: { manifest: { references: { digest: Digest }[] } }[] = []\n  for await (const read of readManifests(round, name)) early.push(read)\n  const blobs = grouped('
      ],
      ['gc/links.ts', 'await unneeded(round, name, new Map(batch))', 'await unneeded(early, new Map(batch))'],
      [
        'gc/links.ts',
        'unneeded(round: Round, name: string, picked',
        'unneeded(early: { manifest: { references: { digest: Digest }[] } }[], picked'
      ],
      [
        'gc/links.ts',
        'for await (const { manifest } of readManifests(round, name)) {',
        'for (const { manifest } of early) {'
      ]
    ],
    fails: { at: 'layer', works: ['putTagged', 'collectLinks'], jumps: 2 }
  },
  {
    rule: 'of a blob that a manifest names the newest link stays',
    edits: [
      [
        'gc/links.ts',
        '(named.has(digest) ? surplus : old)',
        '(named.has(digest) && surplus.length > 9 ? surplus : old)'
      ]
    ],
    fails: { at: 'oldImage', works: ['collectLinks'] }
  },
  {
    rule: 'only content whose entry is older than the grace goes',
    edits: [
      [
        'gc/contents.ts',
        "      if (mark.value.ageMs! > round.graceMs) yield [parseOrphanKey(mark.value.key), 'ripe']\n    }\n    if",
        "      yield [parseOrphanKey(mark.value.key), 'ripe']\n    }\n    if"
      ],
      ['gc/contents.ts', 'if (!entry || entry.ageMs - (now() - begun) <= graceMs)', 'if (!entry)']
    ],
    fails: { at: 'halfLost', works: ['mountBack', 'deleteLayerOfB', 'collectContents'] }
  },
  {
    rule: 'the entry is read again after the listing',
    edits: [['gc/contents.ts', 'if (!entry || entry.ageMs - (now() - begun) <= graceMs)', 'if (!entry)']],
    fails: { at: 'oldHalfLost', works: ['mountBack', 'deleteLayerOfB', 'collectContents'] }
  },
  {
    rule: 'content that a link names loses its entry',
    edits: [['gc/contents.ts', '    await forgive(round, named, begun)\n', '']],
    fails: { at: 'oldHalfLost', works: ['mountBack'] }
  },
  {
    rule: 'the entry outlives the content by a grace',
    edits: [
      [
        'gc/contents.ts',
        'await storage.put(orphanKey(content), Buffer.from(GONE))',
        'await storage.delete([orphanKey(content)])'
      ]
    ],
    fails: { at: 'oldClosed', works: ['closeEmpty', 'collectContents'] }
  },
  {
    rule: 'content without link and entry gets an entry first',
    edits: [
      [
        'gc/contents.ts',
        'await storage.put(orphanKey(content), Buffer.alloc(0), { ifAbsent: true })',
        'await storage.delete([contentKey(content)])'
      ]
    ],
    fails: { at: 'oldCommitted', works: ['closeEmpty', 'collectContents'] }
  },
  {
    rule: 'content without link and entry is found',
    edits: [
      [
        'gc/contents.ts',
        "for await (const contents of chunksOf(round, left('unmarked'))) await mark(round, contents)",
        ''
      ]
    ],
    fails: { at: 'oldCommitted', works: ['collectContents'] }
  },
  {
    rule: 'content whose entry is old gets no first link any more',
    edits: [
      [
        'orphans.ts',
        'return !entry || (entry.ageMs < graceMs / 2 && entry.bytes.toString() !== GONE)',
        'return !entry || entry.bytes.toString() !== GONE'
      ]
    ],
    fails: { at: 'oldMarked', works: ['closeEmpty', 'collectContents'] }
  },
  {
    rule: 'nor does content that is gone',
    edits: [['orphans.ts', ' && entry.bytes.toString() !== GONE)', ')']],
    fails: { at: 'oldMarked', works: ['closeEmpty', 'collectContents'] }
  },
  {
    rule: 'a manifest relies on its blobs before its record is written',
    edits: [
      [
        'manifests.ts',
        '    const warnings = await relyOnReferences(name, pushed)\n    // Someone',
        '    const warnings: string[] = []\n    // Someone'
      ],
      [
        'manifests.ts',
        'if (await isRecorded(name, digest, blind)) return {',
        'if (await isRecorded(name, digest, blind)) await relyOnReferences(name, pushed)\n      if (blind !== null) return {'
      ]
    ],
    fails: { at: 'oldLayer', works: ['putTagged', 'collectLinks'] }
  },
  {
    rule: 'an old record is written anew',
    edits: [
      [
        'manifest-records.ts',
        'newest !== undefined && ageMs < graceMs / 2 && !damaged',
        'newest !== undefined && !damaged'
      ]
    ],
    fails: { at: 'oldUntagged', works: ['putTagged', 'collectUntagged'] }
  },
  {
    rule: 'the tag comes after the record',
    edits: [
      ['manifests.ts', '    await tags.point(name, moves, digest)\n', ''],
      [
        'manifests.ts',
        'tags.announce(name, tagNames, digest),',
        'tags.announce(name, tagNames, digest).then(async moves => { await tags.point(name, moves, digest); return moves }),'
      ]
    ],
    fails: { at: 'nothing', works: ['pushImage'] }
  },
  {
    rule: 'of a tag that goes the oldest value goes first',
    edits: [
      [
        'tags.ts',
        'await storage.delete(keysOf(values), { ordered: true })',
        'await storage.delete(keysOf(values).toReversed(), { ordered: true })'
      ]
    ],
    fails: { at: 'image', works: ['moveTag', 'deleteTag'] }
  },
  {
    rule: 'a deletion of a manifest takes the tags first, the record last',
    edits: [
      [
        'manifests.ts',
        '    await parallel(naming, 8, ([tag, values]) => tags.drop(name, tag, values))\n',
        '    await storage.delete(recorded)\n    await parallel(naming, 8, ([tag, values]) => tags.drop(name, tag, values))\n'
      ],
      [
        'manifests.ts',
        '    await storage.delete(referring)\n    await storage.delete(recorded)\n',
        '    await storage.delete(referring)\n'
      ]
    ],
    fails: { at: 'image', works: ['deleteManifest'] }
  },
  {
    rule: 'manifests are picked only when all their records are older than the grace',
    edits: [['gc/manifests.ts', 'if (untagged && records.every(({ ageMs }) => ageMs > graceMs)) {', 'if (untagged) {']],
    fails: { at: 'layer', works: ['putTagged', 'collectUntagged'] }
  },
  {
    rule: 'an index keeps its entries',
    edits: [['gc/kept.ts', 'for (const child of children.get(digest) ?? []) keep(child, { index: digest })', '']],
    fails: { at: 'oldIndex', works: ['collectUntagged'] }
  },
  {
    rule: 'a manifest keeps what refers to it',
    edits: [
      ['gc/kept.ts', 'for (const referrer of referrers.get(digest) ?? []) keep(referrer, { subject: digest })', ''],
      ['gc/manifests.ts', 'if (!subject) return false', 'if (!subject || subject !== undefined) return false']
    ],
    fails: { at: 'oldIndex', works: ['collectUntagged'] }
  },
  {
    rule: 'what dangles is collected',
    edits: [['gc.ts', '    await collectDangling(round, name)\n', '']],
    fails: { at: 'image', works: ['deleteManifest'] }
  },
  {
    rule: 'the catalog is mended',
    edits: [['gc.ts', '    await mendCatalog(round, name)\n', '']],
    fails: { at: 'layer', works: ['putTagged', 'deleteLayer'] }
  },
  {
    rule: 'empty repositories leave the catalog',
    edits: [['gc.ts', '    await collectCatalog(round, wanted)\n', '']],
    fails: { at: 'oldLayer', works: ['collectLinks'] }
  },
  {
    rule: 'who empties a repository looks again',
    edits: [['repositories.ts', 'if (await exists(name)) await ensure(name, { always: true })', '']],
    fails: { test: 'repositories.test.ts' }
  },
  {
    rule: 'what one process did not hash alone is hashed again',
    edits: [
      [
        'upload-hashes.ts',
        'const same = progress && progress.writer === state?.writer && progress.size === state.size',
        'const same = progress && state'
      ]
    ],
    fails: { at: 'begun', works: ['streamAll', 'appendOther'] }
  },
  {
    rule: 'of all who end a session one decides',
    edits: [
      [
        'upload-closings.ts',
        'if (recorded && !(await end(session, { digest, content }))) return endedByAnother()',
        'if (recorded) await end(session, { digest, content })'
      ]
    ],
    fails: { test: 'uploads.test.ts' }
  },
  {
    rule: 'the end of a session says which content it became',
    edits: [
      [
        'upload-closings.ts',
        'if (recorded && !(await end(session, { digest, content }))) return endedByAnother()',
        'if (recorded && !(await end(session, { digest, content: session.id }))) return endedByAnother()'
      ]
    ],
    fails: { test: 'uploads.test.ts' }
  },
  {
    rule: 'a PUT of a manifest looks afterwards whether its record is there',
    edits: [
      [
        'manifests.ts',
        'if (await isRecorded(name, digest, blind)) return',
        'if ((await isRecorded(name, digest, blind)) || blind !== null) return'
      ]
    ],
    fails: { test: 'manifests.test.ts', title: 'a push that goes on after a deletion was answered' }
  },
  {
    rule: 'an index writes the old records of its children anew',
    edits: [
      [
        'manifest-records.ts',
        'if (newest && !isReliable(records)) await write(name, newest, records)',
        'if (newest && records.damaged) await write(name, newest, records)'
      ]
    ],
    fails: { at: 'oldUntagged', works: ['putIndex', 'collectUntagged'] }
  },
  {
    rule: 'a tag says which manifests show it before it does',
    edits: [
      [
        'tags.ts',
        'storage.put(taggedKey(name, digest, tag, id), Buffer.alloc(0))',
        'storage.stat(taggedKey(name, digest, tag, id))'
      ]
    ],
    fails: { at: 'nothing', works: ['pushImage'] }
  },
  {
    rule: 'a new value of a tag has a higher number than all others',
    edits: [
      [
        'tags.ts',
        'older.reduce((highest, value) => Math.max(highest, value.seq), 0) + 1',
        'older.reduce((highest, value) => Math.min(highest, value.seq), 0) + 1'
      ]
    ],
    fails: { at: 'image', works: ['moveTag'] }
  },
  {
    rule: 'of a tag that names a deleted manifest all values go',
    edits: [
      [
        'tags.ts',
        'return [tag, values[0]?.digest === digest ? values : values.filter(value => value.digest === digest)]',
        'return [tag, values.filter(value => value.digest === digest)]'
      ]
    ],
    fails: { test: 'manifests.test.ts', title: 'two requests at the same time' }
  },
  {
    rule: 'content that a hint names is looked at before it is shared',
    edits: [
      [
        'blobs.ts',
        'return !orphaned && stored?.size === hint.size ? hint',
        'return !orphaned && stored?.size !== 0 ? hint'
      ]
    ],
    fails: { at: 'staleHint', works: ['pushLayerToB'] }
  },
  {
    rule: 'the hint goes with its content',
    edits: [['gc/contents.ts', "if (note !== '' && note !== GONE) await", 'if (note.length === 1) await']],
    fails: { test: 'gc.test.ts', title: 'what a collector leaves that dies between' }
  },
  {
    rule: 'and only with that',
    edits: [['blobs.ts', 'if (hint?.content === content) await storage.delete', 'if (hint) await storage.delete']],
    fails: { test: 'gc.test.ts', title: 'a hint goes with the content that it names' }
  },
  {
    rule: 'word of a loss that is old when the link goes is given again',
    edits: [['orphans.ts', 'if (now() - begun <= graceMs / 4) break', 'if (now() >= begun) break']],
    fails: { test: 'relying.test.ts', title: 'word that is old when the link goes is given again' }
  },
  {
    rule: 'no entry goes when the listing took half of a grace',
    edits: [
      ['gc/contents.ts', 'if (round.now() - begun > round.graceMs / 2) return', 'if (round.now() < begun) return']
    ],
    fails: { test: 'gc.test.ts', title: 'the entry of content that was named is left where the listing took long' }
  },
  {
    rule: 'a referrer stays whose subject is there again',
    edits: [
      [
        'gc/manifests.ts',
        'return (await storage.list(recordsOf(name, subject))).some(({ key }) => !going.includes(key))',
        'return (await storage.list(recordsOf(name, subject))).some(({ key }) => going.includes(key))'
      ]
    ],
    fails: { test: 'gc.test.ts', title: 'a subject that is pushed again keeps what refers to it' }
  },
  {
    rule: 'of links of about the same age none is taken for the older one',
    edits: [['gc/listing.ts', 'ageMs > graceMs && latest + GRAIN_MS < newest', 'ageMs > graceMs && latest <= newest']],
    fails: { test: 'gc.test.ts', title: 'of links of the same age none is taken for the older one' }
  },
  {
    rule: 'a manifest that is pushed enters its repository into the catalog',
    edits: [
      ['manifests.ts', 'repositories.ensure(name, { always: true })', 'repositories.exists(name)'],
      ['blobs.ts', '    await repositories.ensure(name)\n', '']
    ],
    fails: { test: 'repositories.test.ts' }
  },
  {
    rule: 'even one that this process entered before',
    edits: [['manifests.ts', 'repositories.ensure(name, { always: true })', 'repositories.ensure(name)']],
    fails: { test: 'repositories.test.ts' }
  },
  {
    rule: 'who enters a repository looks whether it has been emptied',
    edits: [['repositories.ts', 'if (entered) await leaveIfEmpty(name)', '']],
    fails: { test: 'repositories.test.ts' }
  },
  {
    rule: 'a session that has ended takes nothing any more',
    edits: [['uploads.ts', "if (ending) throw new RegistryError('upload-unknown')", '']],
    fails: { test: 'uploads.test.ts' }
  },
  {
    rule: 'a blob that was deleted does not come back with its session',
    edits: [['upload-closings.ts', 'if (!stored || (await blobs.orphaned(ending.content)))', 'if (!stored)']],
    fails: { test: 'uploads.test.ts', title: 'a closing PUT that is repeated' }
  },
  {
    rule: 'of small bytes the content goes where the session had ended',
    edits: [
      [
        'upload-closings.ts',
        '    if (await end(session, { digest, content })) return blobs.publish(repository, digest, content, bytes.length)',
        '    await end(session, { digest, content })\n    if (content) return blobs.publish(repository, digest, content, bytes.length)'
      ]
    ],
    fails: { test: 'uploads.test.ts', title: 'a PUT of a whole small blob' }
  },
  {
    rule: 'a referrer that is pushed again has a key that no deletion has seen',
    edits: [
      [
        'referrers.ts',
        '    await storage.put(referrerKey(',
        '    if (older.length > 0) return\n    await storage.put(referrerKey('
      ]
    ],
    fails: { test: 'manifests.test.ts', title: 'a referrer that is pushed again is always listed' }
  }
]
