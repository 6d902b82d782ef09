import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'

const root = new URL('..', import.meta.url).pathname

const sources = ['src', 'plugins', 'routes'].flatMap(folder =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter(file => file.endsWith('.ts'))
    .map(file => join(folder, file))
)

/** What a file imports, as paths from the root or names of packages. */
function imports(file: string): string[] {
  const text = readFileSync(join(root, file), 'utf8')
  const found = [...text.matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map(match => match[1]!)
  return found.map(name => (name.startsWith('.') ? join(file, '..', name) : name))
}

const under = (folder: string): string[] => sources.filter(file => file.startsWith(folder))

function forbid(files: string[], forbidden: RegExp): string[] {
  return files.flatMap(file =>
    imports(file)
      .filter(name => forbidden.test(name))
      .map(name => `${file} imports ${name}`)
  )
}

t.test('layers point one way: routes, registry, storage', async t => {
  t.ok(under('routes').length >= 7 && under('src/registry').length >= 15, 'the tree is where this test looks for it')
  t.strictSame(forbid(under('routes'), /^src\/storage/), [], 'routes know no driver')
  t.strictSame(forbid(under('src/registry'), /fastify|^node:https?$|^node:fs|^plugins|^routes|^src\/http/), [])
  t.strictSame(forbid(under('src/storage'), /fastify|^plugins|^routes|^src\/(http|registry)/), [])
  // Its client's connections are HTTP's (docs/architecture.md); nothing else of a driver may know of HTTP.
  const connections = 'src/storage/s3/connections.ts'
  const others = under('src/storage').filter(file => file !== connections)
  t.strictSame(forbid(others, /^node:https?$/), [])
  t.strictSame(forbid([connections], /^node:https?$/).length, 2, 'the exception is still needed')
  t.strictSame(forbid(under('src/access'), /fastify|^node:https?$|^plugins|^routes|^src\/(http|storage)/), [])
  t.strictSame(forbid([...under('src/metrics'), ...under('src/tracing')], /fastify|^plugins|^routes/), [])
  t.strictSame(forbid(under('src/http'), /^plugins|^routes|^src\/storage\/(?!driver)/), [])
  const drivers = /^src\/storage\/(?!driver\.ts|guard\.ts)/
  // `src/testing.ts` wires as a plugin does: memory, where an operator chooses.
  const wires = /^(src\/storage|plugins\/storage-|src\/testing\.ts)/
  const outside = sources.filter(file => !wires.test(file))
  t.strictSame(forbid(outside, drivers), [], 'a driver is known to its plugin alone')
})

t.test('15.11: the time of day is read where dates are told, and intervals go by a monotonic clock', async t => {
  const dates = [
    'plugins/access.ts', // when tokens and robots end
    'plugins/tls.ts', // when a certificate ends
    'src/cli/token.ts',
    'src/registry/gc/clock.ts', // compares both clocks
    'src/registry/quota.ts',
    'src/registry/uploads.ts', // when a session was last used, by all processes
    'src/storage-contract.ts',
    'src/storage/filesystem.ts', // ages of keys, by their modification times
    'src/storage/filesystem/listing.ts',
    'src/storage/filesystem/root.ts',
    'src/storage/memory.ts',
    'src/storage/s3/bucket.ts'
  ]
  const reading = sources.filter(file => /\bDate\.now\b/.test(readFileSync(join(root, file), 'utf8')))
  t.strictSame(
    reading.filter(file => !dates.includes(file)),
    []
  )
})

t.test('the AWS SDK is imported by the S3 driver alone', async t => {
  const others = sources.filter(file => !file.startsWith('src/storage/s3'))
  t.strictSame(forbid(others, /^@aws-sdk|^@smithy/), [])
})

t.test('keys are spelled in one file', async t => {
  const prefixes =
    /['"`](?:content|repositories|digests|catalog|claims|ended|gc|system)\/|_blobs|_manifests|_tags\b|_tagged|_referrers/
  const spelling = sources.filter(
    file => file !== 'src/registry/keys.ts' && prefixes.test(readFileSync(join(root, file), 'utf8'))
  )
  t.strictSame(spelling, [])
})

t.test('only plugins and the routes of Fastify have default exports', async t => {
  const exporting = sources.filter(file => /^export default/m.test(readFileSync(join(root, file), 'utf8')))
  const allowed = exporting.filter(file => /^(plugins|routes)\/|^src\/index\.ts$/.test(file))
  t.strictSame(exporting, allowed)
})
