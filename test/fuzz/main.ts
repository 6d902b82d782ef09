/**
 * `main.ts [--seconds N] [--seed N] [part…]`: hostile input of every kind against a real server. All parts share the
 * seconds. A failure prints the seed that shows it again.
 */
import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { withScratch } from '../reliability/scratch.ts'
import { fuzzDescribed } from './described.ts'
import { fuzzHeads } from './heads.ts'
import { fuzzLogins, prepareLogins } from './logins.ts'
import { fuzzManifests } from './manifests.ts'
import { fuzzNames } from './names.ts'
import { fuzzPatterns, preparePatterns } from './patterns.ts'
import { EXPLAINED, fuzzPlanted } from './planted.ts'
import { fuzzReferrers } from './referrers.ts'
import { checkUnharmed, type Prepare, startTarget, type Target } from './target.ts'
import { fuzzUploads, prepareUploads } from './uploads.ts'

interface Part {
  what: string
  run: (target: Target) => Promise<string>
  /** Settings of its server. */
  prepare?: Prepare
  /** Faults that the log may tell of. */
  explained?: RegExp
}

const parts: Record<string, Part> = {
  described: { what: 'requests made from the OpenAPI document', run: fuzzDescribed },
  heads: { what: 'heads and framing, byte by byte', run: fuzzHeads },
  manifests: { what: 'manifests that are bombs', run: fuzzManifests },
  names: { what: 'names, references and digests in every spelling', run: fuzzNames },
  patterns: { what: 'names that every pattern has to look through', run: fuzzPatterns, prepare: preparePatterns },
  logins: { what: 'right logins at once, and guesses beside them', run: fuzzLogins, prepare: prepareLogins },
  uploads: { what: 'uploads in every way, by two users, below a quota', run: fuzzUploads, prepare: prepareUploads },
  referrers: { what: 'referrers with annotations of any size', run: fuzzReferrers },
  planted: { what: 'links, FIFOs and devices in the folder', run: fuzzPlanted, explained: EXPLAINED }
}

const { values, positionals } = parseArgs({
  options: { seconds: { type: 'string', default: '900' }, seed: { type: 'string' } },
  allowPositionals: true
})
const seed = Number(values.seed ?? randomInt(2 ** 31))
const chosen = positionals.length > 0 ? positionals : Object.keys(parts)
const seconds = Number(values.seconds) / chosen.length
console.log(`seed ${seed}`)

await withScratch(5 + Number(values.seconds) / 20, async (checks, { folder }) => {
  for (const name of chosen) {
    const part = parts[name]
    if (part === undefined) throw new Error(`no part ${name}: there are ${Object.keys(parts).join(', ')}`)
    const target = await startTarget(folder, name, { seed, seconds }, part.prepare)
    await checks.check(`${name}: ${part.what}`, () => part.run(target))
    await checks.check(`${name}: the server is unharmed`, () => checkUnharmed(target, part.explained))
    await target.server.stop()
  }
})
