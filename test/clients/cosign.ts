import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ClientChecks } from './client.ts'

/** Signing with a key of one's own and without the public transparency log: no network is needed. */
export const cosign: ClientChecks = async ({ host, folder, samples, registry, check, run, ...client }) => {
  const cosign = (...args: string[]) => run('cosign', args, { env: { COSIGN_PASSWORD: 'none' } })
  const image = `${host}/cosign/hello@${samples.hello.digest}`
  const plain = '--allow-http-registry'
  const signing = ['--yes', '--key', 'cosign.key', '--signing-config', 'signing.json', plain]
  const verifying = ['--key', 'cosign.pub', '--insecure-ignore-tlog=true', plain]

  await check('makes a key and signs an image', async () => {
    await run('skopeo', [
      'copy',
      '--dest-tls-verify=false',
      `oci:${samples.layout}:hello`,
      `docker://${host}/cosign/hello:v1`
    ])
    await cosign('generate-key-pair')
    await writeFile(join(folder, 'signing.json'), await cosign('signing-config', 'create'))
    await cosign('sign', ...signing, image)
    const signatures = await registry.referrers('cosign/hello', samples.hello.digest)
    assert.equal(signatures.length, 1)
    for (const { digest } of signatures) await registry.everything('cosign/hello', digest)
    await client.assertPushed('cosign/hello', 'v1', samples.hello.digest)
  })
  await check('verifies the signature, and no other image', async () => {
    const verified = JSON.parse(await cosign('verify', ...verifying, image)) as unknown[]
    assert.equal(verified.length, 1)
    await assert.rejects(cosign('verify', ...verifying, `${host}/cosign/other:v1`))
  })
  await check('attests and verifies the attestation', async () => {
    await writeFile(join(folder, 'predicate.json'), '{"berth": 7}')
    await cosign('attest', ...signing, '--predicate', 'predicate.json', '--type', 'custom', image)
    const told = JSON.parse(await cosign('verify-attestation', ...verifying, '--type', 'custom', image)) as {
      payload: string
    }
    assert.match(Buffer.from(told.payload, 'base64').toString(), /berth/)
  })
  await check('shows what hangs on the image', async () => {
    const tree = await cosign('tree', plain, image)
    const referrers = await registry.referrers('cosign/hello', samples.hello.digest)
    assert.equal(referrers.length, 2)
    for (const { digest } of referrers) assert.ok(tree.includes(digest), `${digest} is not in the tree:\n${tree}`)
  })
}
