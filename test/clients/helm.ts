import assert from 'node:assert/strict'
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ClientChecks } from './client.ts'

export const helm: ClientChecks = async ({ host, folder, registry, check, run }) => {
  const helm = (...args: string[]) => run('helm', args)
  const chart = `oci://${host}/helm/harbour`
  const archive = 'harbour-1.2.3+build.4.tgz'
  const version = ['--version', '1.2.3+build.4', '--plain-http']

  await check('packages and pushes a chart', async () => {
    await helm('create', 'harbour')
    await helm('package', '--version', '1.2.3+build.4', 'harbour')
    await helm('push', '--plain-http', archive, `oci://${host}/helm`)
    // A tag has no `+`: helm writes `_` for it.
    assert.deepEqual(await registry.tags('helm/harbour'), ['1.2.3_build.4'])
    const stored = await registry.everything('helm/harbour', '1.2.3_build.4')
    const bytes = await readFile(join(folder, archive))
    assert.ok(
      [...stored.values()].some(blob => blob.equals(bytes)),
      'no blob is the chart'
    )
  })
  await check('pulls the same bytes', async () => {
    const pulled = join(folder, 'pulled')
    await mkdir(pulled)
    await helm('pull', chart, ...version, '--destination', pulled)
    assert.ok((await readFile(join(folder, archive))).equals(await readFile(join(pulled, archive))))
  })
  await check('shows and templates it', async () => {
    assert.match(await helm('show', 'chart', chart, ...version), /^name: harbour$/m)
    assert.equal(
      await helm('template', 'dock', chart, ...version),
      await helm('template', 'dock', join(folder, archive))
    )
  })
}
