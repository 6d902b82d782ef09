import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ClientChecks } from './client.ts'
import { assertSameFiles } from './images.ts'

const RULE = `package main

import rego.v1

deny contains "no berth" if not input.berth
`

export const conftest: ClientChecks = async ({ host, folder, registry, check, run }) => {
  const conftest = (...args: string[]) => run('conftest', args)
  const bundle = `${host}/conftest/policy:v1`

  await check('pushes a policy and pulls the same files', async () => {
    await mkdir(join(folder, 'policy'))
    await writeFile(join(folder, 'policy/berth.rego'), RULE)
    await conftest('push', bundle)
    await registry.everything('conftest/policy', 'v1')
    await conftest('pull', '--policy', 'pulled', `oci://${bundle}`)
    await assertSameFiles(join(folder, 'pulled/policy'), join(folder, 'policy'))
  })
  await check('tests by a policy of the registry', async () => {
    await writeFile(join(folder, 'good.json'), '{"berth": 7}')
    await writeFile(join(folder, 'bad.json'), '{}')
    const updated = ['test', '--policy', 'updated', '--update', `oci://${bundle}`]
    await conftest(...updated, 'good.json')
    await assert.rejects(conftest(...updated, 'bad.json'), /no berth/)
  })
}
