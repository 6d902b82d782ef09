import assert from 'node:assert/strict'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ClientChecks } from './client.ts'
import { parseManifest } from './images.ts'

const POM = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>example</groupId>
  <artifactId>hello</artifactId>
  <version>1</version>
</project>
`

/** Its plugin of Maven, by the program that `.ci/install-clients --slow` makes. */
export const jib: ClientChecks = async ({ host, folder, registry, check, run, pushHello }) => {
  const jib = (to: string, ...flags: string[]) =>
    run(
      'jib',
      [
        `-Djib.from.image=${host}/jib/base:v1`,
        `-Djib.to.image=${host}/${to}`,
        '-Djib.allowInsecureRegistries=true',
        '-Djib.container.mainClass=Hello',
        `-Djib.baseImageCache=${folder}/base`,
        `-Djib.applicationCache=${folder}/application`,
        ...flags
      ],
      { seconds: 300 }
    )

  await check('builds a Java program on an image of the registry and pushes it', async () => {
    await pushHello(`${host}/jib/base:v1`)
    await writeFile(join(folder, 'pom.xml'), POM)
    await writeFile(join(folder, 'Hello.java'), 'class Hello { public static void main(String[] words) {} }\n')
    await mkdir(join(folder, 'target/classes'), { recursive: true })
    await run('javac', ['-d', 'target/classes', 'Hello.java'])
    await jib('jib/built:v1', '-Djib.to.tags=v2')
    const { digest, bytes } = await registry.manifest('jib/built', 'v1')
    assert.equal(await readFile(join(folder, 'target/jib-image.digest'), 'utf8'), digest)
    assert.deepEqual(await registry.tags('jib/built'), ['v1', 'v2'])
    await registry.everything('jib/built', 'v1')
    const { layers: below = [] } = parseManifest((await registry.manifest('jib/base', 'v1')).bytes)
    const layers = parseManifest(bytes).layers ?? []
    assert.deepEqual(
      layers.slice(0, below.length).map(layer => layer.digest),
      below.map(layer => layer.digest)
    )
    assert.ok(layers.length > below.length)
  })
  await check('pushes it again in the OCI format', async () => {
    await jib('jib/again:v1', '-Djib.container.format=OCI')
    const { mediaType } = await registry.manifest('jib/again', 'v1')
    assert.equal(mediaType, 'application/vnd.oci.image.manifest.v1+json')
    await registry.everything('jib/again', 'v1')
  })
}
