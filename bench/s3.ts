/** `npm run bench:s3`: this registry and CNCF Distribution on the same MinIO, given the same work in turn; writes s3.md. */
import { execFileSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { killPrograms } from '../test/reliability/program.ts'
import { type S3Server, startMinio } from '../test/s3/servers.ts'
import { createResults } from './figures.ts'
import { machine } from './machine.ts'
import { findDistribution, ownPeer, type Peer } from './peers.ts'
import { runShared } from './rounds.ts'
import { s3Sections } from './rows.ts'
import type { Scenario } from './scenario.ts'
import { redirected, s3Scenarios } from './scenarios/s3.ts'
import { parseSettings } from './settings.ts'
import { tables } from './table.ts'

const { rounds, largeBytes, only, out } = parseSettings(process.argv.slice(2))
const root = join(import.meta.dirname, '..')
const path = execFileSync(join(root, '.ci/install-s3'), ['--path'], { encoding: 'utf8' }).trim()
process.env.PATH = `${path}:${process.env.PATH}`
const folder = await mkdtemp(join(tmpdir(), 'marina-bench-'))
const results = createResults()
try {
  const minio = await startMinio({ folder, storage: folder, log: join(folder, 'log') })
  const streaming = await peersOn(minio, false)
  const redirecting = await peersOn(minio, true)
  const run = (scenarios: Scenario[], peers: Peer[]) => {
    const wanted = scenarios.filter(({ name }) => only.length === 0 || only.includes(name))
    return runShared(wanted, { rounds, seconds: 0, peers, memory: folder, disk: folder, results })
  }
  await run(s3Scenarios(largeBytes), streaming)
  await run([redirected(largeBytes)], redirecting)
  const text = report(streaming.map(({ title, version }) => `${title} ${version}`))
  if (out === undefined) console.log(text)
  else await writeFile(join(out, 's3.md'), text)
} finally {
  await killPrograms()
  await rm(folder, { recursive: true, force: true, maxRetries: 3 })
}
process.exit()

/** Each with a bucket of its own; they send clients who pull to the bucket, or bodies go through them. */
async function peersOn(minio: S3Server, redirect: boolean): Promise<Peer[]> {
  const own = { ...(await minio.createBucket()), S3_REDIRECT: String(redirect) }
  const { S3_BUCKET: bucket } = await minio.createBucket()
  const { endpoint: regionendpoint, accessKeyId: accesskey, secretAccessKey: secretkey } = minio
  const s3 = { region: 'us-east-1', regionendpoint, bucket, accesskey, secretkey, secure: false, forcepathstyle: true }
  const distribution = findDistribution(() => ({ s3, redirect: { disable: !redirect } }))
  if (typeof distribution === 'string') throw new Error(distribution)
  return [ownPeer(() => own), distribution]
}

function report(peers: string[]): string {
  const columns = [
    { name: 'marina', title: 'marina-distribution' },
    { name: 'distribution', title: 'CNCF Distribution' }
  ] as const
  const minio = /minio@(\S+?)(?::|$)/.exec(path)?.[1]
  const notes = results.notes.map(note => `- ${note}\n`).join('')
  return `# On S3, side by side

Written by \`npm run bench:s3\`; [README.md](README.md) tells how it is made and how to read it.

- ${machine()}
- ${peers.join(', ')}; MinIO ${minio}, one for both, on a disk of the same machine
- medians of ${rounds} rounds, a large blob of ${largeBytes / 2 ** 20} MiB
${notes && `\n${notes}`}
${tables(results, columns, s3Sections)}`
}
