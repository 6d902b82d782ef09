/**
 * The container image: built, pushed to the registry that runs in it, pulled from there, and run again; what runs it in
 * the README and the examples; and the same image for the other platform.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { chown, mkdir, mkdtemp, open, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { run } from '../clients/commands.ts'
import { expect } from '../reliability/http.ts'
import { freePort } from '../reliability/program.ts'
import { withScratch } from '../reliability/scratch.ts'
import { pushSmallBlob, SMALL_BLOB } from '../reliability/small-blob.ts'
import { basic, htpasswdOf, passwordOf } from '../support/callers.ts'
import { containerEnvironment } from './containers.ts'
import { checkExamples } from './examples.ts'

const bases = { amd64: process.env.BASE_IMAGE_AMD64, arm64: process.env.BASE_IMAGE_ARM64 }
if (!bases.amd64 || !bases.arm64) throw new Error('BASE_IMAGE_… name no files: run test/image/run')
const [native, other] = process.arch === 'arm64' ? (['arm64', 'amd64'] as const) : (['amd64', 'arm64'] as const)
/** Runs programs of the other architecture. Named to containers, so that nothing has to be registered with the kernel. */
const emulator = `/usr/bin/qemu-${other === 'arm64' ? 'aarch64' : 'x86_64'}-static`
/** In the head of a program or library: e_machine of ELF. */
const machines = { amd64: 62, arm64: 183 }
const top = join(import.meta.dirname, '../..')
const mostAboveBase = 60 * 2 ** 20
const node = /^ARG NODE_IMAGE=(\S+)$/m.exec(await readFile(join(top, 'Containerfile'), 'utf8'))![1]!

await withScratch(25, async (checks, scratch) => {
  const { folder } = scratch
  const env = await containerEnvironment(folder)
  const output = async (program: string, ...args: string[]) =>
    (await run(program, args, { folder: top, env, seconds: 600 })).toString().trim()
  const podman = (...args: string[]) => output('podman', ...args)
  /** Both of its streams. */
  const logs = (name: string) => output('sh', '-c', 'exec "$@" 2>&1', 'sh', 'podman', 'logs', name)
  const check = (name: string, work: () => Promise<string | undefined>) => checks.check(name, work)
  const size = async (image: string) => Number(await podman('image', 'inspect', '--format', '{{.Size}}', image))
  let image = 'marina-distribution'
  const otherImage = `localhost/${image}-${other}`

  /** Runs a container of the image with a folder of its own, mounted as /data; the folder tells who owns it. */
  async function start(
    options: string[],
    prepare?: (data: string) => Promise<void>,
    command = [image],
    seconds = 10,
    mountedAt = '/data'
  ) {
    const data = await mkdtemp(join(folder, 'data-'))
    await prepare?.(data)
    const port = await freePort()
    const name = `marina-${randomBytes(4).toString('hex')}`
    const own = ['--name', name, '--env', `PORT=${port}`, '--volume', `${data}:${mountedAt}:Z`]
    await podman('run', '--detach', '--network', 'host', ...own, ...options, ...command)
    const url = `http://127.0.0.1:${port}`
    for (let tries = 0; ; tries++) {
      if (
        await fetch(`${url}/v2/`).then(
          () => true,
          () => false
        )
      )
        break
      if (tries === seconds * 10) throw new Error(`it does not answer\n${await logs(name)}`)
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

  /** The base's name is for both platforms, as its model's is. */
  async function importBases() {
    const names = [native, other].map(architecture => `localhost/node-${architecture}`)
    for (const architecture of [native, other]) {
      const options = ['--arch', architecture, ...environmentOfNpm()]
      await podman('import', ...options, bases[architecture] ?? '', `localhost/node-${architecture}`)
    }
    await podman('manifest', 'create', node, ...names.map(name => `containers-storage:${name}`))
  }
  const build = (...options: string[]) => podman('build', ...options, '.')
  const id = (name: string) => podman('image', 'inspect', '--format', '{{.Id}}', name)

  await check('the image is built as the README has it', async () => {
    await importBases()
    await build('-t', image)
    return undefined
  })
  await check('it adds at most 60 MiB to its base', async () => {
    const added = (await size(image)) - (await size(`localhost/node-${native}`))
    assert.ok(added < mostAboveBase, `${added} bytes`)
    return `${(added / 2 ** 20).toFixed(1)} MiB`
  })
  await check('a registry takes its own image and gives it back', async () => {
    const server = await start(['--read-only'])
    const own = `${server.host}/marina/distribution:latest`
    await podman('tag', image, own)
    await podman('push', '--quiet', '--tls-verify=false', own)
    const pushed = await id(own)
    await podman('rmi', own)
    assert.equal(await podman('pull', '--quiet', '--tls-verify=false', own), pushed)
    await server.end()
    image = own
    return undefined
  })
  await check('what was pulled runs, and an empty folder of root goes to a user of its own', async () => {
    const server = await start([])
    assert.equal(await server.user(), '10001')
    await pushSmallBlob(server.url)
    assert.equal((await stat(join(server.data, 'content'))).uid, 10001)
    assert.match(await podman('exec', server.name, 'marina-distribution', 'gc', '--dry-run'), /Nothing was changed/)
    await podman('exec', server.name, 'node', '/app/dist/src/container/health.js')
    await server.end()
    return undefined
  })
  await check('a folder keeps its owner, be it a user or root', async () => {
    const anothers = await start([], data => chown(data, 4321, 4321))
    assert.equal(await anothers.user(), '4321')
    await pushSmallBlob(anothers.url)
    assert.equal((await stat(join(anothers.data, 'content'))).uid, 4321)
    await anothers.end()
    const roots = await start([], data => writeFile(join(data, 'something'), ''))
    assert.equal(await roots.user(), '0')
    await roots.end()
    return undefined
  })
  await check('15.19: content goes to /var/lib/registry where only that is mounted', async () => {
    const server = await start([], undefined, [image], 10, '/var/lib/registry')
    await pushSmallBlob(server.url)
    assert.ok((await readdir(server.data)).includes('content'))
    assert.match(await logs(server.name), /content in \/var\/lib\/registry/)
    assert.match(await podman('exec', server.name, 'marina-distribution', 'gc', '--dry-run'), /Nothing was changed/)
    await server.end()
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
    await pushSmallBlob(server.url)
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
    await pushSmallBlob(server.url)
    assert.deepEqual(await readdir(server.data), [])
    await server.end()
    return undefined
  })
  await check('health is told by the exit code', async () => {
    const health = '/app/dist/src/container/health.js'
    const asked = podman(
      'run',
      '--rm',
      '--network',
      'host',
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
  await check(`for ${other} it is built without emulation, and what is compiled in it is for ${other}`, async () => {
    // Newer builders than podman 4 know by themselves what they run on.
    await build('--platform', `linux/${other}`, '--build-arg', `BUILDPLATFORM=linux/${native}`, '-t', otherImage)
    assert.equal(await podman('image', 'inspect', '--format', '{{.Architecture}}', otherImage), other)
    const root = await podman('image', 'mount', otherImage)
    const files = await readdir(join(root, 'app'), { recursive: true })
    const compiled = files.filter(file => file.endsWith('.node')).map(file => join(root, 'app', file))
    assert.ok(compiled.length > 0, 'there is @node-rs/bcrypt at least')
    for (const file of [join(root, 'usr/local/bin/node'), ...compiled])
      assert.equal(await machineOf(file), machines[other], file)
    await podman('image', 'unmount', otherImage)
    return `${compiled.length} addon`
  })
  await check(`for ${other} it runs, checks a password, takes a push and gives it back`, async () => {
    const users = join(folder, 'users')
    await writeFile(users, await htpasswdOf('alice'))
    const config: { Entrypoint: string[]; Cmd: string[] } = JSON.parse(
      await podman('image', 'inspect', '--format', '{{json .Config}}', otherImage)
    )
    assert.equal(config.Entrypoint[0], 'node')
    const entrypoint = JSON.stringify([emulator, '/usr/local/bin/node', ...config.Entrypoint.slice(1)])
    const options = [
      '--platform',
      `linux/${other}`,
      '--volume',
      `${emulator}:${emulator}:ro`,
      '--entrypoint',
      entrypoint
    ]
    const login = ['--env', 'AUTH_HTPASSWD_FILE=/users', '--volume', `${users}:/users:ro,Z`]
    const server = await start([...options, ...login], undefined, [otherImage, ...config.Cmd], 180)
    await expect(401, `${server.url}/v2/`, { headers: basic('alice', 'another') })
    const headers = basic('alice', passwordOf('alice'))
    await pushSmallBlob(server.url, 'app', headers)
    const { body } = await expect(200, `${server.url}/v2/app/blobs/${SMALL_BLOB}`, { headers })
    assert.equal(body.toString(), '{}')
    assert.equal((await stat(join(server.data, 'content'))).uid, 10001)
    await server.end()
    return undefined
  })
  await check('the images for both are pushed as one, and each platform gets its own', async () => {
    const server = await start([])
    const both = `${server.host}/marina/both:latest`
    const images = { [native]: image, [other]: otherImage }
    await podman('manifest', 'create', 'both')
    for (const name of Object.values(images)) await podman('manifest', 'add', 'both', `containers-storage:${name}`)
    await podman('manifest', 'push', '--all', '--quiet', '--tls-verify=false', 'both', `docker://${both}`)
    for (const [architecture, name] of Object.entries(images)) {
      const pulled = await podman('pull', '--quiet', '--tls-verify=false', '--platform', `linux/${architecture}`, both)
      assert.equal(pulled, await id(name), architecture)
    }
    await server.end()
    return undefined
  })
  await checkExamples(checks, scratch, env)
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

async function machineOf(file: string): Promise<number> {
  const opened = await open(file)
  const { buffer } = await opened.read(Buffer.alloc(20)).finally(() => opened.close())
  assert.equal(buffer.toString('latin1', 1, 4), 'ELF', file)
  return buffer.readUInt16LE(18)
}
