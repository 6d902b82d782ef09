/** The container image: built, pushed to the registry that runs in it, pulled from there, and run again. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { chown, mkdir, mkdtemp, readdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { run } from '../clients/commands.ts'
import { expect } from '../reliability/http.ts'
import { freePort } from '../reliability/program.ts'
import { withScratch } from '../reliability/scratch.ts'

const base = process.env.BASE_IMAGE
if (!base) throw new Error('BASE_IMAGE names no file: run test/image/run')
const top = join(import.meta.dirname, '../..')
const mostAboveBase = 60 * 2 ** 20
/** What a container gets has to be spelled out where the tests themselves run in a container with few rights. */
const confined = '--runtime runc --network host --ulimit nofile=1024:1024 --ulimit nproc=1024:1024'.split(' ')

await withScratch(15, async (checks, { folder }) => {
  const storage = ['--root', `${folder}/root`, '--runroot', `${folder}/run`, '--storage-driver', 'overlay']
  const env = { PATH: process.env.PATH, LANG: 'C.UTF-8', HOME: folder, TMPDIR: folder }
  const command = [...storage, '--cgroup-manager', 'cgroupfs']
  const output = async (program: string, ...args: string[]) =>
    (await run(program, args, { folder: top, env, seconds: 600 })).toString().trim()
  const podman = (...args: string[]) => output('podman', ...command, ...args)
  /** Both of its streams. */
  const logs = (name: string) => output('sh', '-c', 'exec "$@" 2>&1', 'sh', 'podman', ...command, 'logs', name)
  const check = (name: string, work: () => Promise<string | undefined>) => checks.check(name, work)
  const size = async (image: string) => Number(await podman('image', 'inspect', '--format', '{{.Size}}', image))
  let image = 'marina-distribution'

  /** Runs a container of the image with a folder of its own as /data; the folder tells who owns it. */
  async function start(options: string[], prepare?: (data: string) => Promise<void>) {
    const data = await mkdtemp(join(folder, 'data-'))
    await prepare?.(data)
    const port = await freePort()
    const name = `marina-${randomBytes(4).toString('hex')}`
    const own = ['--name', name, '--env', `PORT=${port}`, '--volume', `${data}:/data:Z`]
    await podman('run', '--detach', ...confined, ...own, ...options, image)
    const url = `http://127.0.0.1:${port}`
    for (let tries = 0; ; tries++) {
      if (
        await fetch(`${url}/v2/`).then(
          ({ ok }) => ok,
          () => false
        )
      )
        break
      if (tries === 100) throw new Error(`it does not answer\n${await logs(name)}`)
      await sleep(100)
    }
    const user = async () => /^Uid:\s+(\d+)/m.exec(await podman('exec', name, 'cat', '/proc/1/status'))?.[1]
    const end = async () => {
      await podman('stop', '--time', '20', name)
      const status = await podman('inspect', '--format', '{{.State.ExitCode}}', name)
      const log = await logs(name)
      await podman('rm', name)
      assert.equal(status, '0', log)
    }
    return { name, data, url, host: `127.0.0.1:${port}`, user, end }
  }

  await check('the image is built as the README has it', async () => {
    await podman('import', ...environmentOfNpm(), base, 'localhost/node:24')
    await podman('build', '--isolation', 'chroot', '--build-arg', 'NODE_IMAGE=localhost/node:24', '-t', image, '.')
    return undefined
  })
  await check('it adds at most 60 MiB to its base', async () => {
    const added = (await size(image)) - (await size('localhost/node:24'))
    assert.ok(added < mostAboveBase, `${added} bytes`)
    return `${(added / 2 ** 20).toFixed(1)} MiB`
  })
  await check('a registry takes its own image and gives it back', async () => {
    const server = await start(['--read-only'])
    const own = `${server.host}/marina/distribution:latest`
    await podman('tag', image, own)
    await podman('push', '--quiet', '--tls-verify=false', own)
    const id = await podman('image', 'inspect', '--format', '{{.Id}}', own)
    await podman('rmi', own)
    assert.equal(await podman('pull', '--quiet', '--tls-verify=false', own), id)
    await server.end()
    image = own
    return undefined
  })
  await check('what was pulled runs, and an empty folder of root goes to a user of its own', async () => {
    const server = await start([])
    assert.equal(await server.user(), '10001')
    await pushBlob(server.url)
    assert.equal((await stat(join(server.data, 'content'))).uid, 10001)
    assert.match(await podman('exec', server.name, 'marina-distribution', 'gc', '--dry-run'), /Nothing was changed/)
    await podman('exec', server.name, 'node', '/app/dist/src/container/health.js')
    await server.end()
    return undefined
  })
  await check('a folder keeps its owner, be it a user or root', async () => {
    const anothers = await start([], data => chown(data, 4321, 4321))
    assert.equal(await anothers.user(), '4321')
    await pushBlob(anothers.url)
    assert.equal((await stat(join(anothers.data, 'content'))).uid, 4321)
    await anothers.end()
    const roots = await start([], data => writeFile(join(data, 'something'), ''))
    assert.equal(await roots.user(), '0')
    await roots.end()
    return undefined
  })
  await check('a new volume with its lost+found is an empty one', async () => {
    const server = await start([], async data => void (await mkdir(join(data, 'lost+found'))))
    assert.equal(await server.user(), '10001')
    await server.end()
    return undefined
  })
  await check('another user stays who it is', async () => {
    const server = await start(['--user', '2000:3000'], data => chown(data, 2000, 3000))
    assert.equal(await server.user(), '2000')
    await pushBlob(server.url)
    assert.ok((await readdir(server.data)).includes('content'))
    await server.end()
    return undefined
  })
  await check('without the right to change users it says so and serves', async () => {
    const server = await start(['--cap-drop', 'all'])
    assert.match(await logs(server.name), /still root/)
    await server.end()
    return undefined
  })
  await check('names of CNCF Distribution count, as they stand in a compose file', async () => {
    const names = ['STORAGE_FILESYSTEM_ROOTDIRECTORY=/var/lib/registry', 'STORAGE_DELETE_ENABLED=false']
    const server = await start([
      ...names.flatMap(name => ['--env', `REGISTRY_${name}`]),
      '--tmpfs',
      '/var/lib/registry'
    ])
    assert.match(await logs(server.name), /became STORAGE_PATH=\/var\/lib\/registry; .* became DELETE_ENABLED=false/)
    await pushBlob(server.url)
    assert.deepEqual(await readdir(server.data), [])
    await server.end()
    return undefined
  })
  await check('health is told by the exit code', async () => {
    const health = '/app/dist/src/container/health.js'
    const asked = podman(
      'run',
      '--rm',
      ...confined,
      '--env',
      `PORT=${await freePort()}`,
      '--entrypoint',
      'node',
      image,
      health
    )
    await assert.rejects(asked, /ended with 1\n.*ECONNREFUSED/)
    return undefined
  })
  await podman('rmi', '--all', '--force').catch(() => undefined)
})

/** npm inside the build goes where npm goes here. */
function environmentOfNpm(): string[] {
  const registry = process.env.npm_config_registry
  const variables = [
    'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    'NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt',
    ...(registry ? [`npm_config_registry=${registry}`] : [])
  ]
  return variables.flatMap(variable => ['--change', `ENV ${variable}`])
}

async function pushBlob(url: string): Promise<void> {
  const digest = 'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a'
  await expect(201, `${url}/v2/app/blobs/uploads/?digest=${digest}`, { method: 'POST', body: Buffer.from('{}') })
}
