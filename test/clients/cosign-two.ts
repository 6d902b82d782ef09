import assert from 'node:assert/strict'
import type { ClientChecks } from './client.ts'

/** Version 2, which keeps a signature under a tag of its own unless it is told to use referrers. */
export const cosignTwo: ClientChecks = async ({ host, samples, registry, check, run, pushHello }) => {
  const { digest } = samples.hello
  const image = `${host}/cosign-two/hello@${digest}`
  const plain = '--allow-http-registry'
  const cosign = (...args: string[]) =>
    run('cosign', args, { env: { COSIGN_PASSWORD: 'none', COSIGN_EXPERIMENTAL: '1' } })
  const sign = (...flags: string[]) =>
    cosign('sign', '--yes', '--key', 'cosign.key', '--tlog-upload=false', plain, ...flags, image)
  const verify = (...flags: string[]) =>
    cosign('verify', '--key', 'cosign.pub', '--insecure-ignore-tlog=true', plain, ...flags, image)
  const tag = `${digest.replace(':', '-')}.sig`

  await check('signs an image by a tag and verifies it', async () => {
    await pushHello(`${host}/cosign-two/hello:v1`)
    await cosign('generate-key-pair')
    await assert.rejects(verify())
    await sign()
    assert.deepEqual(await registry.tags('cosign-two/hello'), [tag, 'v1'].sort())
    await registry.everything('cosign-two/hello', tag)
    assert.equal((JSON.parse(await verify()) as unknown[]).length, 1)
  })
  await check('signs an image by a referrer', async () => {
    await sign('--registry-referrers-mode=oci-1-1')
    const [signature] = await registry.referrers('cosign-two/hello', digest)
    await registry.everything('cosign-two/hello', signature?.digest ?? '')
  })
  await check('removes the signature', async () => {
    await cosign('clean', '--force', '--type', 'signature', plain, image)
    await registry.absent('cosign-two/hello', tag)
  })
}
