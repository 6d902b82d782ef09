/** `documents.ts`: the commands of docs/s3.md and of the backup of a bucket, as they are written but for who is asked. */
import assert from 'node:assert/strict'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../clients/commands.ts'
import { expect } from '../reliability/http.ts'
import { environment, freePort, type Program, startProgram } from '../reliability/program.ts'
import { withScratch } from '../reliability/scratch.ts'
import { startServer } from '../reliability/server-process.ts'
import { pushSmallBlob, SMALL_BLOB } from '../reliability/small-blob.ts'
import { blocksToRun, replaced } from '../support/documents.ts'
import { placeProgram } from '../support/program.ts'

const cli = join(import.meta.dirname, '../../dist/src/cli.js')
const keys = { AWS_ACCESS_KEY_ID: 'registry', AWS_SECRET_ACCESS_KEY: 'registry-secret' }

await withScratch(15, async (checks, { folder, log }) => {
  const bin = join(folder, 'bin')
  placeProgram(bin, 'npm', '[ "$*" = start ] && exec marina-distribution')
  placeProgram(bin, 'marina-distribution', `exec ${process.execPath} ${cli} "$@"`)
  const path = `${bin}:${process.env.PATH}`
  const shell = async (script: string, env: Record<string, string>) =>
    (await run('bash', ['-euc', script], { folder, env: environment({ HOME: folder, ...env, PATH: path }) })).toString()

  /** Runs a block whose last command goes on until it is stopped. */
  async function begin(block: string, env: Record<string, string>, ready: string): Promise<Program> {
    const lines = block
      .trimEnd()
      .replace(/\\\n\s*/g, '')
      .split('\n')
    // With `exec` the program itself is stopped in the end, and not a shell that leaves it behind.
    const script = [`cd ${folder}`, ...lines.slice(0, -1), `exec env ${lines.at(-1)}`].join('\n')
    const answers = async () => (await run('curl', ['-skf', '-o', '/dev/null', ready])).length === 0
    return startProgram({ program: 'bash', args: ['-euc', script], env: { ...env, PATH: path }, log, ready: answers })
  }
  const registry = async (block: string, env: Record<string, string>) => {
    const port = await freePort()
    const url = `http://127.0.0.1:${port}`
    const running = await begin(block, { HOST: '127.0.0.1', PORT: String(port), ...env }, `${url}/v2/`)
    return { ...running, url }
  }
  const push = (url: string) => pushSmallBlob(url, 'team/app')

  /** An S3 server of a region, with the buckets of the examples, that stands for the one of a provider. */
  async function provider(region: string) {
    const port = await freePort()
    const data = join(folder, `s3-${port}`)
    for (const bucket of ['images', 'my-images', 'images-backup']) await mkdir(join(data, bucket), { recursive: true })
    const access = ['-a', keys.AWS_ACCESS_KEY_ID, '-s', keys.AWS_SECRET_ACCESS_KEY, '--region', region]
    const endpoint = `http://127.0.0.1:${port}`
    const server = await startProgram({
      program: 'versitygw',
      args: ['-p', `127.0.0.1:${port}`, ...access, '--quiet', 'posix', data],
      log,
      ready: () => fetch(endpoint).then(() => true)
    })
    return { ...server, endpoint }
  }

  for (const [region, blocks] of [
    ['eu-central-1', blocksToRun('docs/s3.md', 2, 'AWS, with a role')],
    ['eu-central-1', blocksToRun('docs/s3.md', 1, 'AWS, with a key')],
    ['auto', blocksToRun('docs/s3.md', 1, 'Cloudflare R2')],
    ['us-east-1', blocksToRun('docs/s3.md', 1, 'Ceph Object Gateway')],
    ['us-west-004', blocksToRun('docs/s3.md', 1, 'Backblaze B2')],
    ['auto', blocksToRun('docs/s3.md', 1, 'Google Cloud Storage')]
  ] as const) {
    await checks.check(blocks[0]!.heading, async () => {
      const { endpoint, stop } = await provider(region)
      for (const { body } of blocks) {
        const local = body
          .replace(/\bS3_ENDPOINT=\S+/, `S3_ENDPOINT=${endpoint}`)
          .replace(
            /\b(AWS_ACCESS_KEY_ID|AWS_SECRET_ACCESS_KEY)=\S*…/g,
            (_, name: keyof typeof keys) => `${name}=${keys[name]}`
          )
        assert.doesNotMatch(local, /…|https:/)
        // What AWS itself knows, its servers and the keys of a role, is in the environment.
        const server = await registry(local, { S3_ENDPOINT: endpoint, ...(!local.includes('ACCESS_KEY') && keys) })
        await push(server.url)
        await server.stop()
      }
      await stop()
      return undefined
    })
  }
  await checks.check('MinIO with a self-signed certificate', async () => {
    const port = await freePort()
    const [minio, trusting] = blocksToRun('docs/s3.md', 2, 'MinIO with a self-signed certificate').map(({ body }) =>
      replaced(body, { '127.0.0.1:9000': `127.0.0.1:${port}` })
    )
    const s3 = await begin(minio!, {}, `https://127.0.0.1:${port}/minio/health/live`)
    await shell(`aws --no-verify-ssl --endpoint-url https://127.0.0.1:${port} s3 mb s3://images`, keys)
    const server = await registry(trusting!, {})
    await push(server.url)
    await server.stop()
    await s3.stop()
    return undefined
  })
  await checks.check('from a folder to a bucket, and the backup of a bucket', async () => {
    const { endpoint, stop } = await provider('eu-central-1')
    const env = { ...keys, AWS_ENDPOINT_URL: endpoint, AWS_REGION: 'eu-central-1' }
    const first = await startServer({ storage: join(folder, 'registry-data'), log })
    await push(first.url)
    await first.stop()
    const [moving] = blocksToRun('docs/s3.md', 1, 'Moving from a folder to a bucket')
    await shell(moving!.body, env)
    const settings = { STORAGE_DRIVER: 's3', S3_ENDPOINT: endpoint, S3_REGION: 'eu-central-1', ...keys }
    const second = await startServer({ storage: { ...settings, S3_BUCKET: 'my-images' }, log })
    await expect(200, `${second.url}/v2/team/app/blobs/${SMALL_BLOB}`)
    await second.stop()
    await shell('aws s3 sync --quiet s3://my-images s3://images', env)
    const [backup] = blocksToRun('docs/operations.md', 1, 'Backup of a bucket')
    assert.match(await shell(backup!.body, { ...settings, ...env }), /nothing wrong\n$/)
    await stop()
    return undefined
  })
})
