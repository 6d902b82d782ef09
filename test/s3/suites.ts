/**
 * `suites.ts [whole]`: the clients on every S3 server, the driver's tests on each of the two, and on one the HTTP tests
 * that have to do with what is stored; with `whole` all on all.
 */
import { withScratch } from '../reliability/scratch.ts'
import { startServer } from '../reliability/server-process.ts'
import { closingLine, output, passingClients } from './counted.ts'
import { type S3Server, startMinio, startSecureMinio, startVersitygw } from './servers.ts'

const whole = process.argv[2] === 'whole'
const httpTests = whole
  ? 'test/routes/*.test.ts'
  : 'test/routes/{blobs,immutable-tags,lists,manifest-references,manifest-tags,manifests,redirect,referrers,upload-sessions,uploads}.test.ts'

await withScratch(whole ? 60 : 30, async (checks, scratch) => {
  for (const start of [startVersitygw, startMinio, startSecureMinio]) {
    const server = await start(scratch)
    if (whole || start !== startMinio) {
      await checks.check(`${server.name}: the driver's tests`, () => tap(server, 'test/s3/*.test.ts'))
    }
    if (whole || start === startVersitygw) {
      await checks.check(`${server.name}: the HTTP tests`, () => tap(server, httpTests))
    }
    await checks.check(`${server.name}: the clients`, async () => {
      const registry = await startServer({ storage: await server.createBucket(), log: scratch.log })
      return passingClients(registry.url).finally(() => registry.stop())
    })
    await server.stop()
  }
})

async function tap(server: S3Server, files: string): Promise<string> {
  const lines = await output('npx', ['tap', '--reporter=tap', '--timeout=600', files], {
    S3_TEST_ENDPOINT: server.endpoint,
    S3_TEST_ACCESS_KEY_ID: server.accessKeyId,
    S3_TEST_SECRET_ACCESS_KEY: server.secretAccessKey,
    AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true',
    ...(server.caFile && { S3_TEST_CA_FILE: server.caFile })
  })
  return closingLine(lines, /^# \{ total: (\d+).*\}$/gm)
}
