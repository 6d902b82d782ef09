import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { openFilesystem } from '../src/storage/filesystem.ts'
import { age } from './support/age.ts'
import { blocksToRun, isCommands } from './support/documents.ts'
import { descriptor, digestOf, IMAGE, INDEX, indexOf, json } from './support/images.ts'
import { cli, placeProgram, top } from './support/program.ts'
import { openRegistry } from './support/registry.ts'

const DAY = 24 * 60 * 60 * 1000

const blocks = [
  blocksToRun('docs/operations.md', 1, 'Operations'),
  blocksToRun('docs/operations.md', 3, 'How space comes back'),
  blocksToRun('docs/operations.md', 1, 'When the disk is full'),
  blocksToRun('docs/operations.md', 2, 'Seeing that all is well'),
  blocksToRun('docs/operations.md', 1, 'Backup'),
  blocksToRun('docs/operations.md', 1, 'Restore')
]
  .flat()
  .filter(isCommands)
  .map(({ body }) => body)

t.test('the commands of docs/operations.md, as they are written, beside a registry in use', async t => {
  const root = mkdtempSync(join(tmpdir(), 'marina-operations-'))
  t.teardown(() => rmSync(root, { recursive: true, force: true }))
  const [bin, path] = [join(root, 'bin'), join(root, 'srv/registry')]
  mkdirSync(path, { recursive: true })
  placeProgram(bin, 'marina-distribution', `cd ${top} && exec ${cli.join(' ')} "$@"`)

  const registry = await openRegistry(t, await openFilesystem({ path }), { gcIntervalMs: 0 })
  const { digest, bytes } = await registry.pushImage('team/app', 'v1')
  await registry.pushImage('team/app', 'moving')
  await registry.pushImage('team/old', 'v1')
  await age(path, 2 * DAY)

  const environment: NodeJS.ProcessEnv = { PATH: `${bin}:${process.env.PATH}`, digest }
  async function run(block: string): Promise<{ code: number; out: string }> {
    // The document's folders are below the test's.
    const script = block.replace(/(?<=[= "])\/(srv|backup)\b/g, `${root}/$1`)
    const child = spawn('bash', ['--norc', '-euc', script], {
      env: environment,
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe']
    })
    let out = ''
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', text => {
        out += text
      })
    const [code] = await once(child, 'close')
    environment.STORAGE_PATH = path
    return { code: Number(code), out }
  }

  const told: Record<string, RegExp> = {
    'export STORAGE_PATH': /^$/,
    'gc --dry-run': /^Nothing was changed\..*\nCollected:.*\nCollected:/s,
    'uploads list': /^0 uploads aborted, 0 bytes freed\nCollected:/,
    why: /^manifest, written 2\.0 d ago\n {2}tagged v1\n/,
    'repository delete': /^team\/old is deleted: 1 manifests, 2 links to blobs\n$/,
    'verify --repair': /: nothing wrong\n$/,
    verify: /: nothing wrong\n$/,
    tar: /^$/
  }
  let [restored, pushes] = [0, 0]
  for (const block of blocks) {
    let ended = false
    const running = run(block).finally(() => {
      ended = true
    })
    // A tag that moves, and signatures: what a copy could catch by half.
    while (!ended && block.includes('tar -rf')) {
      const image = await registry.pushImage('team/app', 'moving')
      const signature = json(indexOf([], { subject: descriptor(image.bytes, IMAGE) }))
      await registry.putManifest('team/app', digestOf(signature), signature, INDEX)
      pushes++
    }
    const { code, out } = await running
    const title = block.trim().split('\n')[0]
    if (!block.includes('restored=')) {
      t.equal(code, 0, `${title}: ${out}`)
      const [what, expected] = Object.entries(told).find(([what]) => block.includes(what)) ?? []
      t.match(out, expected ?? 'a block that this test knows', what ?? title ?? '')
      continue
    }
    restored++
    t.ok(code === 0 || /\d faults?, \d+ of them repaired\n$/.test(out), out)
    const again = await run(`STORAGE_PATH=/srv/restored marina-distribution verify`)
    t.match(again, { code: 0, out: /nothing wrong\n$/ })
    const copy = await openRegistry(t, await openFilesystem({ path: join(root, 'srv/restored') }), { gcIntervalMs: 0 })
    t.ok((await copy.getManifest('team/app', 'v1')).body.equals(bytes))
    t.equal((await copy.getManifest('team/app', 'moving')).status, 200, 'a tag that moved all the time has a value')
    t.equal((await copy.getManifest('team/old', 'v1')).status, 404)
    for (const descriptor of JSON.parse(bytes.toString()).layers) {
      t.equal(digestOf((await copy.get(`/v2/team/app/blobs/${descriptor.digest}`)).body), descriptor.digest)
    }
  }
  t.equal(restored, 1)
  t.ok(pushes > 0, `${pushes} images were pushed while the copy was made`)
})
