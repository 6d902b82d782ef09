import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import t from 'tap'
import { top } from './support/program.ts'

interface Locked {
  version?: string
  dev?: boolean
  engines?: { node?: string }
  deprecated?: string
  hasInstallScript?: boolean
}

interface Manifest {
  dependencies: Record<string, string>
  allowScripts: Record<string, boolean>
}

const json = (file: string): unknown => JSON.parse(readFileSync(join(top, file), 'utf8'))
const { dependencies, allowScripts } = json('package.json') as Manifest
const { packages } = json('package-lock.json') as { packages: Record<string, Locked> }
const locked = Object.entries(packages).map(([path, entry]) => ({ name: nameAt(path), ...entry }))

// npm decides with this package whether `engines` allow a version. Fastify depends on it.
const requireOf = createRequire(import.meta.resolve('fastify'))
const semver = requireOf('semver') as { satisfies(version: string, range: string): boolean }

/** `node_modules/a/node_modules/@b/c` holds the package `@b/c`. */
function nameAt(path: string): string {
  return path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length)
}

/** The least version that README.md promises to run on, the least to develop on, and the first of each later line. */
const running = ['20.11.0', '20.20.0', '22.0.0', '24.0.0', '26.0.0']
const developing = ['20.19.0', '22.12.0', '24.0.0', '26.0.0']

t.test('15.22: every locked package runs on Node.js 20, 22, 24 and 26', t => {
  const excluding = locked.flatMap(({ name, version, dev, engines }) =>
    (dev ? developing : running)
      .filter(node => !semver.satisfies(node, engines?.node ?? '*'))
      .map(node => `${name}@${version} wants ${engines?.node}, not ${node}`)
  )
  t.strictSame(excluding, [])
  t.ok(locked.length > 100, 'the lock lists the packages')
  t.end()
})

// Its packages ask for each other with `^`, and the releases that drop Node.js 20 keep the major version.
t.test('15.22: each package of the AWS SDK is a dependency with one exact version', t => {
  const sdk = locked.filter(({ name }) => name.startsWith('@aws-sdk/'))
  t.strictSame(
    sdk.filter(({ name, version }) => dependencies[name] !== version).map(({ name }) => name),
    []
  )
  t.ok(sdk.length > 1)
  t.end()
})

t.test('15.22: npm has nothing to warn about: no deprecated package, no install script that was not reviewed', t => {
  t.strictSame(
    locked.filter(({ deprecated }) => deprecated !== undefined).map(({ name }) => name),
    []
  )
  const scripted = locked.filter(({ hasInstallScript }) => hasInstallScript).map(({ name }) => name)
  // npm asks about no package that this platform does not install.
  t.strictSame(
    scripted.filter(name => name !== 'fsevents'),
    Object.keys(allowScripts)
  )
  t.end()
})
