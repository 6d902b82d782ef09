/** The README's commands for containers and the examples that run one: compose, quadlet, Kubernetes. */
import assert from 'node:assert/strict'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { run } from '../clients/commands.ts'
import type { Checks } from '../reliability/checks.ts'
import { freePort } from '../reliability/program.ts'
import type { Scratch } from '../reliability/scratch.ts'
import { pushSmallBlob } from '../reliability/small-blob.ts'
import { startMinio } from '../s3/servers.ts'
import { blocksToRun, replaced } from '../support/documents.ts'
import { top } from '../support/program.ts'

const examples = join(top, 'examples')
const USERS = 'alice:$2y$05$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy\n'

/** @param env where podman finds the image, and Node.js's image below the name that the Containerfile has */
export async function checkExamples(checks: Checks, { folder, ...scratch }: Scratch, env: NodeJS.ProcessEnv) {
  const inFolder = async (place: string, program: string, ...args: string[]) =>
    (await run(program, args, { folder: place, env, seconds: 600 })).toString().trim()
  const podman = (...args: string[]) => inFolder(folder, 'podman', ...args)
  const place = async (name: string) => {
    const made = join(folder, name)
    await mkdir(made)
    return made
  }

  await checks.check('the commands of the README', async () => {
    const port = await freePort()
    const [block] = blocksToRun('README.md', 1, 'As a container')
    const lines = replaced(block!.body, {
      '-p 5000:5000': `-p ${port}:5000`,
      ' marina-distribution .': ` marina-distribution ${top}`
    })
    const started = lines.indexOf('podman logs')
    const here = await place('readme')
    await inFolder(here, 'bash', '-euc', lines.slice(0, started))
    await push(`http://127.0.0.1:${port}`)
    const said = await inFolder(here, 'bash', '-euc', `exec 2>&1\n${lines.slice(started)}`)
    assert.match(said, /listening at .*content in \/data/)
    assert.match(said, /Nothing was changed/)
    await assert.rejects(podman('container', 'inspect', 'marina'), /no such container/)
    return undefined
  })
  await checks.check('the compose file: everybody reads, and who pushes has to log in', async () => {
    const port = await freePort()
    const here = await place('compose')
    const text = await readFile(join(examples, 'compose/compose.yaml'), 'utf8')
    await writeFile(join(here, 'users'), USERS)
    await writeFile(join(here, 'compose.yaml'), replaced(text, { '"127.0.0.1:5000:': `"127.0.0.1:${port}:` }))
    await inFolder(here, 'podman-compose', 'up', '--detach', '--no-build')
    const url = `http://127.0.0.1:${port}`
    await answering(`${url}/v2/_catalog`)
    assert.equal((await fetch(`${url}/v2/app/blobs/uploads/`, { method: 'POST' })).status, 401)
    await inFolder(here, 'podman-compose', 'down')
    return undefined
  })
  await checks.check('the units of systemd: what podman makes of them', async () => {
    const port = await freePort()
    const [volume, container] = await Promise.all(
      ['volume', 'container'].map(kind => readFile(join(examples, `quadlet/marina-distribution.${kind}`), 'utf8'))
    )
    const text = replaced(container!, { '127.0.0.1:5000:': `127.0.0.1:${port}:` })
    await podman('run', '--name', 'unit', '--detach', ...optionsOf(text, entriesOf(volume!).get('VolumeName')!))
    await push(`http://127.0.0.1:${port}`)
    const grace = Number(await podman('inspect', '--format', '{{.Config.StopTimeout}}', 'unit'))
    assert.ok(grace > 30, `it is killed after ${grace} s, and uploads have 30 s to end`)
    await podman('stop', 'unit')
    assert.equal(await podman('inspect', '--format', '{{.State.ExitCode}}', 'unit'), '0')
    await podman('rm', '--volumes', 'unit')
    return undefined
  })
  await checks.check('the manifests of Kubernetes, on a bucket', async () => {
    const minio = await startMinio({ folder, ...scratch })
    const [bucket, port, metrics] = [await minio.createBucket(), await freePort(), await freePort()]
    const here = await place('kubernetes')
    await writeFile(join(here, 'access-key-id'), minio.accessKeyId)
    await writeFile(join(here, 'secret-access-key'), minio.secretAccessKey)
    const file = join(here, 'registry.yaml')
    const manifests = await readFile(join(examples, 'kubernetes/registry.yaml'), 'utf8')
    await writeFile(file, forPodman(manifests, bucket, port, metrics, here))
    await podman('tag', 'marina-distribution', 'registry.example.com/marina-distribution:0.1.0')
    // MinIO listens on the machine's loopback.
    await podman('kube', 'play', '--network', 'host', file)
    const url = `http://127.0.0.1:${port}`
    await answering(`${url}/readyz`)
    await answering(`${url}/livez`)
    await push(url)
    const status = await podman('exec', 'registry-pod-0-registry', 'cat', '/proc/1/status')
    assert.match(status, /^Uid:\s+10001\b/m)
    assert.match(status, /^CapEff:\s+0+$/m)
    await podman('kube', 'down', file)
    await minio.stop()
    return undefined
  })
}

async function answering(url: string): Promise<void> {
  for (let tries = 0; ; tries++) {
    const status = await fetch(url).then(
      response => response.status,
      () => 0
    )
    if (status === 200) return
    assert.ok(tries < 300, `${url} answers ${status}`)
    await sleep(200)
  }
}

async function push(url: string): Promise<void> {
  await answering(`${url}/v2/`)
  await pushSmallBlob(url)
}

/** The lines of a unit, a key each. */
const entriesOf = (unit: string): Map<string, string> =>
  new Map([...unit.matchAll(/^(\w+)=(.*)$/gm)].map(([, key, value]) => [key!, value!]))

/** What podman 5's quadlet makes of the section [Container]. Debian 12's podman is older than quadlet. */
function optionsOf(unit: string, volume: string): string[] {
  const [, section = ''] = /^\[Container\]\n(.*?)^\[/ms.exec(unit) ?? []
  const { Image, ...keys } = Object.fromEntries(entriesOf(section.replace('marina-distribution.volume:', `${volume}:`)))
  const options = Object.entries(keys).flatMap(([key, value]) => {
    const option = quadlet[key]
    assert.ok(option, `${key}: an entry that this test does not know`)
    return option(value)
  })
  return [...options, Image!]
}

const quadlet: Record<string, (value: string) => string[]> = {
  Volume: value => ['--volume', value],
  PublishPort: value => ['--publish', value],
  Environment: value => value.split(' ').flatMap(pair => ['--env', pair]),
  ReadOnly: () => ['--read-only'],
  NoNewPrivileges: () => ['--security-opt', 'no-new-privileges'],
  PodmanArgs: value => value.split(' ')
}

/** The manifests with a bucket that is there, but for what podman 4.3 does not have of Kubernetes. */
function forPodman(
  manifests: string,
  bucket: Record<string, string>,
  port: number,
  metrics: number,
  secret: string
): string {
  return replaced(manifests, {
    'S3_BUCKET: images': `S3_BUCKET: ${bucket.S3_BUCKET}\n  S3_ENDPOINT: ${bucket.S3_ENDPOINT}\n  PORT: "${port}"`,
    'METRICS_PORT: "9100"': `METRICS_PORT: "${metrics}"`,
    // It gives a Secret's files as base64.
    'secret:\n            secretName: registry-s3': `hostPath:\n            path: ${secret}`,
    // On the machine's network it publishes nothing.
    '          ports:\n            - name: http\n              containerPort: 5000\n': '',
    '            - name: metrics\n              containerPort: 9100\n': '',
    // Both replicas would listen on the machine's port.
    'replicas: 2': 'replicas: 1'
  })
}
