import assert from 'node:assert/strict'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Program } from '../reliability/program.ts'
import type { ClientChecks } from './client.ts'
import { buildkitAddress, startBuildkit } from './daemon.ts'
import { assertSameFiles, type Manifest, parseManifest } from './images.ts'

const HELLO = ['FROM scratch', 'COPY hello message.txt /', 'CMD ["/hello"]']

/** BuildKit alone, without docker, with a daemon of the test's own. */
export const buildkit: ClientChecks = async client => {
  const { host, folder, samples, registry, check, run } = client
  const buildctl = (...args: string[]) => run('buildctl', ['--addr', buildkitAddress(folder), ...args])
  /** Builds the lines as a Dockerfile and returns the digest of what was pushed, if anything was. */
  const build = async (lines: string[], output: string, ...flags: string[]) => {
    const recipe = join(folder, 'recipe')
    const metadata = join(folder, 'metadata.json')
    await mkdir(recipe, { recursive: true })
    await writeFile(join(recipe, 'Dockerfile'), lines.join('\n'))
    const inputs = ['--local', `context=${samples.files}`, '--local', `dockerfile=${recipe}`]
    const common = ['--frontend', 'dockerfile.v0', '--metadata-file', metadata, ...inputs]
    await buildctl('build', '--progress', 'plain', ...common, '--output', output, ...flags)
    return (JSON.parse(await readFile(metadata, 'utf8')) as { 'containerimage.digest'?: string })[
      'containerimage.digest'
    ]
  }
  const pushing = (repository: string) => `type=image,name=${host}/${repository}:v1,push=true`
  const manifestOf = async (repository: string): Promise<Manifest> =>
    parseManifest((await registry.manifest(repository, 'v1')).bytes)
  let daemon: Program | undefined

  await check('starts', async () => {
    const configuration = join(folder, 'buildkitd.toml')
    const mirrored = `[registry."mirrored.example"]\nmirrors = ["${host}/buildkit/mirror"]\n`
    await writeFile(configuration, `[registry."${host}"]\nhttp = true\n${mirrored}`)
    daemon = await startBuildkit(client, configuration)
  })
  await check('builds an image and pushes it', async () => {
    const digest = await build(HELLO, pushing('buildkit/hello'))
    assert.equal((await registry.manifest('buildkit/hello', 'v1')).digest, digest)
    await registry.everything('buildkit/hello', 'v1')
  })
  await check('pulls it with the same files', async () => {
    const pulled = join(folder, 'pulled')
    await buildctl('prune', '--all')
    await build([`FROM ${host}/buildkit/hello:v1`], `type=local,dest=${pulled}`)
    await assertSameFiles(pulled, samples.files)
  })
  await check('keeps its cache in the registry and builds from it', async () => {
    const cache = `type=registry,ref=${host}/buildkit/cache:v1`
    const lines = [`FROM ${host}/buildkit/hello:v1`, 'RUN ["/hello"]', 'COPY message.txt /more.txt']
    const digest = await build(lines, pushing('buildkit/cached'), '--export-cache', `${cache},mode=max`)
    await registry.everything('buildkit/cache', 'v1')
    await buildctl('prune', '--all')
    const again = await build(lines, pushing('buildkit/again'), '--import-cache', cache)
    const layersOf = async (repository: string) => [...(await registry.everything(repository, 'v1')).keys()].sort()
    assert.ok(digest !== undefined && again !== undefined)
    // A step that is run once more writes other times, and so other layers.
    assert.deepEqual(await layersOf('buildkit/again'), await layersOf('buildkit/cached'))
  })
  await check('pushes an index of platforms with attestations', async () => {
    const platforms = ['--opt', 'platform=linux/amd64,linux/arm64', '--opt', 'attest:provenance=mode=max']
    const digest = await build(HELLO, pushing('buildkit/multi'), ...platforms)
    assert.equal((await registry.manifest('buildkit/multi', 'v1')).digest, digest)
    assert.equal((await manifestOf('buildkit/multi')).manifests?.length, 4)
    const stored = await registry.everything('buildkit/multi', 'v1')
    const statements = [...stored.values()].filter(bytes => bytes.includes('https://slsa.dev/provenance/'))
    assert.ok(statements.length >= 2, 'no provenance for each platform')
  })
  await check('pushes layers compressed as zstd', async () => {
    await build(HELLO, `${pushing('buildkit/zstd')},compression=zstd,force-compression=true,oci-mediatypes=true`)
    const { layers = [] } = await manifestOf('buildkit/zstd')
    assert.deepEqual(
      layers.map(layer => layer.mediaType),
      ['application/vnd.oci.image.layer.v1.tar+zstd']
    )
    await registry.everything('buildkit/zstd', 'v1')
  })
  await check('pulls from the registry as the mirror of another', async () => {
    const from = `oci:${samples.layout}:hello`
    await run('skopeo', ['copy', '--dest-tls-verify=false', from, `docker://${host}/buildkit/mirror/hello:v1`])
    const pulled = join(folder, 'mirrored')
    await build(['FROM mirrored.example/hello:v1'], `type=local,dest=${pulled}`)
    await assertSameFiles(pulled, samples.files)
  })
  await daemon?.kill()
}
