import assert from 'node:assert/strict'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { containerEnvironment } from '../image/containers.ts'
import { expect } from '../reliability/http.ts'
import { codeInText, replaced } from '../support/documents.ts'
import { placeProgram } from '../support/program.ts'
import type { Client, ClientChecks } from './client.ts'

/** The commands of the README for each client, as they are written there, but for hosts and the image's origin. */
export const readme: ClientChecks = async client => {
  const { host, folder, samples, registry, check } = client
  const alpine = 'origin/library/alpine'
  const commands = codeInText('README.md', 'Using it').filter(code => code.includes(' '))
  const env = await environmentOf(client)
  const shell = (command: string) => client.run('bash', ['--norc', '-euc', command], { env })
  const checkOf = async (
    program: string,
    replacements: Record<string, string>,
    result: (output: string) => Promise<unknown>,
    prepare?: () => Promise<unknown>
  ) => {
    const command = commands.shift() ?? ''
    await check(command, async () => {
      assert.ok(command.startsWith(`${program} `), 'another client comes next in the README')
      await prepare?.()
      await result(await shell(replaced(command, { 'localhost:5000': host, ...replacements })))
    })
  }
  const untag = () => expect(202, `http://${host}/v2/alpine/manifests/latest`, { method: 'DELETE' })
  const pushed = () => registry.everything('alpine', 'latest')
  const isSample = () => client.assertPushed('alpine', 'latest', samples.hello.digest)

  await shell(`skopeo copy oci:${samples.layout}:hello docker://${host}/${alpine} && podman pull -q alpine`)
  await checkOf('docker', {}, pushed)
  await checkOf('podman', {}, pushed, untag)
  await checkOf('skopeo', {}, isSample, untag)
  await checkOf('crane', { '--insecure alpine': `--insecure ${host}/${alpine}` }, isSample, untag)
  await writeFile(join(folder, 'notes.txt'), 'notes')
  await checkOf('oras', {}, () => registry.everything('notes', 'v1'))
  await shell('helm create chart && helm package chart')
  await checkOf('helm', {}, () => registry.everything('charts/chart', '0.1.0'))
  await shell('cosign generate-key-pair && cosign signing-config create > signing.json')
  // Neither a question nor the public log.
  const signed = { 'cosign sign': 'cosign sign --yes --signing-config signing.json', 'sha256:…': samples.hello.digest }
  await checkOf('cosign', signed, async () =>
    assert.equal((await registry.referrers('alpine', samples.hello.digest)).length, 1)
  )
  await checkOf(
    'docker',
    {},
    () => shell(`podman image exists ${host}/alpine`),
    () => shell('podman rmi --all --force')
  )
  await checkOf(
    'oras',
    {},
    async () => assert.equal(await readFile(join(folder, 'notes.txt'), 'utf8'), 'notes'),
    () => rm(join(folder, 'notes.txt'))
  )
  await checkOf(
    'helm',
    {},
    () => readFile(join(folder, 'chart-0.1.0.tgz')),
    () => rm(join(folder, 'chart-0.1.0.tgz'))
  )
  await checkOf('oras', {}, async output => {
    const [signature] = await registry.referrers('alpine', samples.hello.digest)
    assert.ok(output.includes(signature!.digest), output)
  })
  await check('nothing else is there', async () => assert.deepEqual(commands, []))
  await shell('podman rmi --all --force')
}

/** podman stands for docker, which takes `localhost` without TLS and calls its own registry's images by their last name. */
async function environmentOf({ host, folder }: Client): Promise<NodeJS.ProcessEnv> {
  const [programs, registries] = [join(folder, 'programs'), join(folder, '.config/containers')]
  placeProgram(programs, 'docker', 'exec podman "$@"')
  const hosts = [`prefix = "docker.io"\nlocation = "${host}/origin"`, `location = "${host}"`]
  const mirrors = hosts.map(of => `[[registry]]\n${of}\ninsecure = true\n`)
  await mkdir(registries, { recursive: true })
  await writeFile(
    join(registries, 'registries.conf'),
    `unqualified-search-registries = ["docker.io"]\n${mirrors.join('')}`
  )
  const containers = await containerEnvironment(folder)
  return {
    ...containers,
    PATH: `${programs}:${containers.PATH}`,
    COSIGN_PASSWORD: 'none'
  }
}
