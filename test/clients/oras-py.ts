import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ClientChecks } from './client.ts'
import { assertSameFiles } from './images.ts'

const PROGRAM = `
import sys
from oras.client import OrasClient
host, work, *rest = sys.argv[1:]
client = OrasClient(hostname=host, insecure=True)
if work == "push":
    client.push(target=rest[0], files=rest[1:])
elif work == "pull":
    client.pull(target=rest[0], outdir=rest[1])
elif work == "tags":
    print("\\n".join(client.get_tags(rest[0])))
else:
    client.delete_tags(rest[0], rest[1:])
`

export const orasPy: ClientChecks = async ({ host, folder, registry, check, run }) => {
  const files = join(folder, 'files')
  const program = (...args: string[]) => run('python', ['-c', PROGRAM, host, ...args], { folder: files })
  const artifact = `${host}/oras-py/artifact`

  await check('pushes an artifact and pulls the same files', async () => {
    await mkdir(files)
    await writeFile(join(files, 'notes.md'), '# Notes\n')
    await writeFile(join(files, 'empty.bin'), '')
    await program('push', `${artifact}:v1`, 'notes.md', 'empty.bin')
    await registry.everything('oras-py/artifact', 'v1')
    await program('pull', `${artifact}:v1`, join(folder, 'pulled'))
    await assertSameFiles(join(folder, 'pulled'), files)
  })
  await check('lists tags and deletes one', async () => {
    await program('push', `${artifact}:v2`, 'notes.md')
    assert.equal(await program('tags', artifact), 'v1\nv2')
    await program('delete', artifact, 'v2')
    assert.deepEqual(await registry.tags('oras-py/artifact'), ['v1'])
  })
}
