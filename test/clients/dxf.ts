import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { digestOf } from '../reliability/bytes.ts'
import type { ClientChecks } from './client.ts'

export const dxf: ClientChecks = async ({ host, samples, registry, check, run, output }) => {
  const env = { DXF_HOST: host, DXF_INSECURE: '1' }
  const dxf = (...args: string[]) => run('dxf', args, { env })
  const file = join(samples.files, 'hello')
  let digest = ''

  await check('pushes a blob and pulls the same bytes', async () => {
    const bytes = await readFile(file)
    digest = digestOf(bytes)
    assert.equal(await dxf('push-blob', 'dxf/blobs', file, '@hello'), digest)
    assert.ok(bytes.equals(await registry.blob('dxf/blobs', digest)))
    assert.ok(bytes.equals(await output('dxf', ['pull-blob', 'dxf/blobs', '@hello'], { env })))
  })
  await check('sets, lists and deletes aliases', async () => {
    await dxf('set-alias', 'dxf/blobs', 'again', digest)
    assert.equal(await dxf('list-aliases', 'dxf/blobs'), 'again\nhello')
    assert.equal(await dxf('get-alias', 'dxf/blobs', 'again'), digest)
    await dxf('del-alias', 'dxf/blobs', 'again')
    await registry.absent('dxf/blobs', 'again')
  })
  await check('lists repositories', async () => {
    assert.ok((await dxf('list-repos')).split('\n').includes('dxf/blobs'))
  })
}
