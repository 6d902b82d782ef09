import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ClientChecks } from './client.ts'
import { parseManifest } from './images.ts'

export const crane: ClientChecks = async ({ host, folder, samples, registry, check, run, output, ...client }) => {
  const crane = (...args: string[]) => run('crane', ['--insecure', ...args])
  const { hello, multi, files } = samples
  const single = join(folder, 'hello')

  await check('pushes and pulls an index in an OCI layout', async () => {
    await crane('push', '--index', samples.layout, `${host}/crane/layout:v1`)
    await crane('pull', '--format', 'oci', `${host}/crane/layout@${multi.digest}`, join(folder, 'multi'))
    await client.assertPulled(join(folder, 'multi'), multi.digest)
    await registry.everything('crane/layout', 'v1')
  })
  await check('pushes and pulls an image', async () => {
    await crane('pull', '--format', 'oci', `${host}/crane/layout@${hello.digest}`, single)
    await client.assertPulled(single, hello.digest)
    await crane('push', single, `${host}/crane/hello:v1`)
    await client.assertPushed('crane/hello', 'v1', hello.digest)
  })
  await check('copies to another repository', async () => {
    await crane('copy', `${host}/crane/layout@${multi.digest}`, `${host}/crane/copied/multi:v1`)
    await client.assertPushed('crane/copied/multi', 'v1', multi.digest)
  })
  await check('reads digest, manifest, config and blob', async () => {
    const image = `${host}/crane/hello:v1`
    const { bytes } = await registry.manifest('crane/hello', 'v1')
    assert.equal(await crane('digest', image), hello.digest)
    assert.ok(bytes.equals(await output('crane', ['manifest', image])))
    const { config, layers = [] } = parseManifest(bytes)
    const configBytes = await registry.blob('crane/hello', config?.digest ?? '')
    assert.ok(configBytes.equals(await output('crane', ['config', image])))
    const layer = layers[0]?.digest ?? ''
    const blob = await output('crane', ['blob', `${host}/crane/hello@${layer}`])
    assert.ok(blob.equals(await registry.blob('crane/hello', layer)))
  })
  await check('exports the files', async () => {
    const archive = await output('crane', ['export', `${host}/crane/hello:v1`, '-'])
    const message = await output('tar', ['-xO', 'message.txt'], { input: archive })
    assert.ok(message.equals(await readFile(join(files, 'message.txt'))))
  })
  await check('changes an image and appends a layer', async () => {
    const mutated = `${host}/crane/hello:mutated`
    await crane('mutate', '--label', 'changed=yes', '--tag', mutated, `${host}/crane/hello:v1`)
    assert.match(await crane('config', mutated), /"changed":"yes"/)
    const layer = join(folder, 'layer.tar')
    await run('tar', ['-C', files, '-cf', layer, 'message.txt'])
    await crane('append', '--base', mutated, '--new_layer', layer, '--new_tag', `${host}/crane/hello:appended`)
    await registry.everything('crane/hello', 'appended')
    assert.equal(parseManifest((await registry.manifest('crane/hello', 'appended')).bytes).layers?.length, 3)
    await crane('validate', '--remote', `${host}/crane/hello:appended`)
  })
  await check('tags, lists tags and repositories', async () => {
    await crane('tag', `${host}/crane/hello:v1`, 'v2')
    assert.equal(await crane('ls', `${host}/crane/hello`), 'appended\nmutated\nv1\nv2')
    const repositories = (await crane('catalog', host)).split('\n').filter(name => name.startsWith('crane/'))
    assert.deepEqual(repositories, ['crane/copied/multi', 'crane/hello', 'crane/layout'])
  })
  await check('deletes', async () => {
    await crane('delete', `${host}/crane/hello@${hello.digest}`)
    await registry.absent('crane/hello', hello.digest)
    await registry.absent('crane/hello', 'v2')
    assert.equal(await crane('ls', `${host}/crane/hello`), 'appended\nmutated')
  })
}
