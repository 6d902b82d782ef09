/** `walkthrough.ts`: the steps of the README's section on S3, run as they are written but for ports and the image's origin. */
import assert from 'node:assert/strict'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../clients/commands.ts'
import { environment, freePort, type Program, startProgram } from '../reliability/program.ts'
import { type Scratch, withScratch } from '../reliability/scratch.ts'
import { startServer } from '../reliability/server-process.ts'
import { blocksToRun } from '../support/documents.ts'

const root = join(import.meta.dirname, '../..')

await withScratch(10, async (checks, scratch) => {
  const ports = { 9000: await freePort(), 5000: await freePort() }
  const [server, bucket, registry, pushAndPull] = await stepsOf(ports, await pushOrigin(scratch))
  const [s3, url] = [`http://127.0.0.1:${ports[9000]}`, `http://127.0.0.1:${ports[5000]}`]
  const log = join(scratch.folder, 'walkthrough.log')
  const settings = {
    MC_CONFIG_DIR: join(scratch.folder, 'mc'),
    PORT: String(ports[5000]),
    LOG_FORMAT: 'json',
    npm_config_script_shell: 'bash' // which leaves no shell between npm and the registry: stopping npm stops it
  }
  const running: Program[] = []
  const inFolder = { folder: scratch.folder, env: environment(settings) }

  await checks.check('1. the server starts', async () => {
    const ready = async () => (await fetch(`${s3}/minio/health/live`)).status === 200
    running.push(await startStep(server, { folder: scratch.folder, settings, log, ready }))
    return undefined
  })
  await checks.check('2. the bucket is made', async () =>
    (await run('sh', ['-ec', bucket], inFolder)).toString().trim()
  )
  await checks.check('3. the registry starts, and its first line says where content is', async () => {
    const ready = async () => (await fetch(`${url}/v2/`)).status === 200
    running.push(await startStep(registry, { folder: root, settings, log, ready }))
    const line = (await readFile(log, 'utf8')).split('\n').find(text => text.startsWith('{')) ?? ''
    assert.match(line, new RegExp(`content in bucket images at ${s3}`))
    return undefined
  })
  await checks.check('4. an image is pushed and pulled', async () => {
    await run('sh', ['-ec', pushAndPull], inFolder)
    assert.ok((await stat(join(scratch.folder, 'alpine.tar'))).size > 1000)
    assert.equal((await fetch(`${url}/v2/alpine/manifests/latest`)).status, 200)
    return undefined
  })
  for (const program of running.reverse()) await program.stop()
})

/** The four steps of the document's example. */
async function stepsOf(ports: Record<string, number>, origin: string): Promise<[string, string, string, string]> {
  const [example] = blocksToRun('README.md', 1, 'With content in S3')
  let text = example!.body.replace('copy --insecure alpine ', `copy --insecure ${origin} `)
  for (const [port, free] of Object.entries(ports)) text = text.replaceAll(`:${port}`, `:${free}`)
  const [before, ...steps] = text.split(/^# \d\. .*\n/m)
  assert.ok(before === '' && steps.length === 4 && text.includes(origin), 'the README has other steps')
  return steps.map(step => step.trim()) as [string, string, string, string]
}

/** What stands for the image of a public registry; returns its name. */
async function pushOrigin({ folder, storage, log }: Scratch): Promise<string> {
  const { url } = await startServer({ storage, log })
  const [archive, image] = [join(folder, 'layer.tar'), `${new URL(url).host}/alpine`]
  await run('tar', ['-C', root, '-cf', archive, 'README.md'], { env: environment({}) })
  await run('crane', ['append', '--insecure', '--new_layer', archive, '--new_tag', image], { env: environment({}) })
  return image
}

interface StepOptions {
  folder: string
  settings: Record<string, string>
  log: string
  ready(): Promise<boolean>
}

/** Runs a step whose last line goes on until it is stopped. */
function startStep(step: string, { folder, settings, log, ready }: StepOptions): Promise<Program> {
  const lines = step.split('\n')
  // With `exec` the program itself is stopped in the end, and not a shell that leaves it behind.
  const script = [`cd ${folder}`, ...lines.slice(0, -1), `exec env ${lines.at(-1)}`].join('\n')
  return startProgram({ program: 'sh', args: ['-ec', script], env: settings, log, ready })
}
