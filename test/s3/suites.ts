/** The driver's tests, the HTTP tests and the clients on every S3 server; over TLS the HTTP tests would find nothing new. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { environment } from '../reliability/program.ts'
import { type Scratch, withScratch } from '../reliability/scratch.ts'
import { startServer } from '../reliability/server-process.ts'
import { type S3Server, startMinio, startSecureMinio, startVersitygw } from './servers.ts'

const root = join(import.meta.dirname, '../..')

await withScratch(30, async (checks, scratch) => {
  for (const start of [startVersitygw, startMinio, startSecureMinio]) {
    const server = await start(scratch)
    await checks.check(`${server.name}: the driver's tests`, () => tap(server, 'test/s3/*.test.ts'))
    if (!server.caFile) await checks.check(`${server.name}: the HTTP tests`, () => tap(server, 'test/routes/*.test.ts'))
    await checks.check(`${server.name}: the clients`, () => clients(server, scratch))
    await server.stop()
  }
})

async function tap(server: S3Server, files: string): Promise<string> {
  const output = await run('npx', ['tap', '--reporter=tap', '--timeout=600', files], {
    S3_TEST_ENDPOINT: server.endpoint,
    S3_TEST_ACCESS_KEY_ID: server.accessKeyId,
    S3_TEST_SECRET_ACCESS_KEY: server.secretAccessKey,
    AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true',
    ...(server.caFile && { S3_TEST_CA_FILE: server.caFile })
  })
  return closingLine(output, /^# \{ total: (\d+).*\}$/gm)
}

async function clients(server: S3Server, { log }: Scratch): Promise<string> {
  const registry = await startServer({ storage: await server.createBucket(), log })
  try {
    return closingLine(await run('test/clients/run', [], { MARINA_URL: registry.url }), /^(\d+) passed, 0 failed$/gm)
  } finally {
    await registry.stop()
  }
}

/** The program's output. Throws with its last lines when it fails. */
function run(program: string, args: string[], env: Record<string, string>): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { cwd: root, env: environment(env), maxBuffer: 1 << 28 }
    execFile(program, args, options, (error, stdout, stderr) => {
      if (!error) return resolve(stdout)
      const failures = stdout.split('\n').filter(line => /^\s*not ok|^FAIL/.test(line))
      reject(new Error([...failures, ...stdout.split('\n').slice(-20), stderr].join('\n')))
    })
  })
}

function closingLine(output: string, pattern: RegExp): string {
  const count = [...output.matchAll(pattern)].at(-1)?.[1]
  if (count === undefined || count === '0') throw new Error(`nothing was counted\n${output.slice(-1000)}`)
  return `${count} passed`
}
