import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ClientChecks } from './client.ts'

const POLICY = {
  version: '1.0',
  trustPolicies: [
    {
      name: 'all',
      registryScopes: ['*'],
      signatureVerification: { level: 'strict' },
      trustStores: ['ca:berth.example'],
      trustedIdentities: ['*']
    }
  ]
}

export const notation: ClientChecks = async ({ host, folder, samples, registry, check, run, pushHello }) => {
  const notation = (...args: string[]) => run('notation', args, { env: { XDG_CONFIG_HOME: join(folder, 'config') } })
  const image = `${host}/notation/hello@${samples.hello.digest}`
  const plain = '--insecure-registry'

  await check('signs an image and verifies it', async () => {
    await pushHello(`${host}/notation/hello:v1`)
    await notation('cert', 'generate-test', '--default', 'berth.example')
    await writeFile(join(folder, 'policy.json'), JSON.stringify(POLICY))
    await notation('policy', 'import', 'policy.json')
    await assert.rejects(notation('verify', plain, image), /no signature/)
    await notation('sign', plain, image)
    assert.match(await notation('verify', plain, image), /Successfully verified/)
  })
  await check('lists and inspects the signatures', async () => {
    await notation('sign', plain, '--signature-format', 'cose', image)
    const signatures = await registry.referrers('notation/hello', samples.hello.digest)
    assert.equal(signatures.length, 2)
    const listed = await notation('list', plain, image)
    for (const { digest } of signatures) {
      assert.ok(listed.includes(digest), `${digest} is not listed:\n${listed}`)
      await registry.everything('notation/hello', digest)
    }
    assert.match(await notation('inspect', plain, image), /berth\.example/)
  })
}
