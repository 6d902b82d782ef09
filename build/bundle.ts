/**
 * Puts the programs of `dist` into a few files each, and TypeBox with them: it comes in 266 files, and to load those takes
 * longer than all else that a start does. Other packages stay outside, where they can be updated.
 */
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { build } from 'esbuild'

const top = join(import.meta.dirname, '..')
const to = join(top, 'dist/src')
/** Packages that go inside, with the names of the files that say what that takes. */
const inside = { '@sinclair/typebox': 'license', '@fastify/type-provider-typebox': 'LICENSE' }
const programs = {
  cli: 'src/cli.ts',
  container: 'src/container.ts',
  'container/health': 'src/container/health.ts',
  // Started by what lies beside it.
  'hash-thread': 'src/registry/hash-thread.ts'
}

const { dependencies } = JSON.parse(readFileSync(join(top, 'package.json'), 'utf8')) as {
  dependencies: Record<string, string>
}
const outside = Object.keys(dependencies).filter(name => !(name in inside))
const { outputFiles } = await build({
  absWorkingDir: top,
  entryPoints: programs,
  outdir: to,
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  external: outside.flatMap(name => [name, `${name}/*`]),
  write: false
})
const files = new Map(outputFiles.map(({ path, text }) => [relative(to, path), text]))
const licenses = Object.entries(inside).map(
  ([name, license]) => `${name}\n\n${readFileSync(join(top, 'node_modules', name, license), 'utf8')}`
)
files.set('bundled-licenses.txt', licenses.join('\n'))

// A server that is running may come to load any of them: those that stay the same are left alone.
for (const [path, text] of files) {
  const file = join(to, path)
  if (existsSync(file) && readFileSync(file, 'utf8') === text) continue
  writeFileSync(`${file}.new`, text)
  renameSync(`${file}.new`, file)
}
const stale = readdirSync(to).filter(name => /-[A-Z0-9]{8}\.js$/.test(name) && !files.has(name))
for (const name of stale) rmSync(join(to, name))
