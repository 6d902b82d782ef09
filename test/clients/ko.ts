import assert from 'node:assert/strict'
import { copyFile, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ClientChecks } from './client.ts'
import { run as start } from './commands.ts'
import { parseManifest } from './images.ts'

export const ko: ClientChecks = async ({ host, folder, samples, registry, check, run, pushHello }) => {
  const base = `${host}/ko/base:v1`

  await check('builds a Go program on an image of the registry and pushes it with its SBOM', async () => {
    const source = join(folder, 'source')
    await mkdir(source)
    await copyFile(join(import.meta.dirname, 'hello.go'), join(source, 'hello.go'))
    await writeFile(join(source, 'go.mod'), 'module example.com/hello\n\ngo 1.21\n')
    await pushHello(base)
    // The compiled standard library of the machine's user.
    const cache = (await start('go', ['env', 'GOCACHE'], { env: process.env })).toString().trim()
    const env = { KO_DOCKER_REPO: `${host}/ko/built`, KO_DEFAULTBASEIMAGE: base, GOCACHE: cache, GOFLAGS: '-mod=mod' }
    const flags = ['--bare', '--insecure-registry', '--tags', 'v1', '--platform', samples.platform]
    const built = await run('ko', ['build', ...flags, '.'], { folder: source, env, seconds: 300 })
    const { digest, bytes } = await registry.manifest('ko/built', 'v1')
    assert.equal(built, `${host}/ko/built:v1@${digest}`)
    await registry.everything('ko/built', 'v1')
    const { layers: below = [] } = parseManifest((await registry.manifest('ko/base', 'v1')).bytes)
    const layers = parseManifest(bytes).layers?.map(layer => layer.digest) ?? []
    for (const layer of below) assert.ok(layers.includes(layer.digest), `${layer.digest} is not below it`)
    const sbom = `${digest.replace(':', '-')}.sbom`
    const stored = await registry.everything('ko/built', sbom)
    assert.ok(
      [...stored.values()].some(blob => blob.includes('SPDX-')),
      'no blob is an SBOM'
    )
  })
}
