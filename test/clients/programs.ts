import { existsSync } from 'node:fs'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Client } from './client.ts'
import { startDaemon } from './containerd.ts'
import { buildkitAddress, DOCKER, dockerSocket, startBuildkit, startDocker } from './daemon.ts'
import type { Samples } from './images.ts'

/** How one program logs in, pushes and pulls. Each throws where the registry refuses. */
export interface Program {
  login(user: string, password: string): Promise<unknown>
  logout(): Promise<unknown>
  push(repository: string): Promise<unknown>
  pull(repository: string): Promise<unknown>
  /** It tells no reason but the status. */
  terse?: boolean
  /** Without a login it gives up at a registry that asks for a password, before it asks for anything in a repository. */
  silent?: boolean
  /** Closes the connections that it keeps: they show the certificate with which they were opened. */
  disconnect?(): Promise<unknown>
  /** Gives back what it holds of the folder. */
  end?(): Promise<unknown>
}

/** @param plain flags for plain HTTP: whether one gets them */
type Make = (client: Client, samples: Samples, plain: (...flags: string[]) => string[]) => Program

/**
 * The files of a registry over TLS: `ca.crt` of who issued its certificate, and `client.cert` and `client.key` while the
 * client has one itself. podman and its like find them in this folder (containers-certs.d(5)); others are told of them.
 */
export const certificatesOf = ({ folder, host }: Pick<Client, 'folder' | 'host'>) => {
  const certs = join(folder, '.config/containers/certs.d', host)
  return { certs, ca: join(certs, 'ca.crt'), cert: join(certs, 'client.cert'), key: join(certs, 'client.key') }
}

/** The flags for the client's own certificate, where it has one. */
function certified(client: Client, certFlag: string, keyFlag: string): string[] {
  const { cert, key } = certificatesOf(client)
  return existsSync(cert) ? [certFlag, cert, keyFlag, key] : []
}

const skopeo: Make = ({ host, folder, run }, { layout }, plain) => {
  const env = { REGISTRY_AUTH_FILE: join(folder, 'auth.json') }
  const skopeo = (...args: string[]) => run('skopeo', args, { env })
  let pulls = 0
  return {
    login: (user, password) => skopeo('login', ...plain('--tls-verify=false'), '-u', user, '-p', password, host),
    logout: () => skopeo('logout', host),
    push: to => skopeo('copy', ...plain('--dest-tls-verify=false'), `oci:${layout}:hello`, `docker://${host}/${to}:v1`),
    pull: from => {
      const target = `oci:${folder}/pulled-${++pulls}`
      return skopeo('copy', ...plain('--src-tls-verify=false'), `docker://${host}/${from}:v1`, target)
    }
  }
}

/** @param pulling flags with which it asks the registry also for what it has */
const builder =
  (program: 'podman' | 'buildah', ...pulling: string[]): Make =>
  ({ host, folder, run }, { files }, plain) => {
    // Below it they keep who is logged in; the file itself must be there when it is named.
    const env = { XDG_RUNTIME_DIR: folder }
    const storage = ['--root', `${folder}/root`, '--runroot', `${folder}/run`, '--storage-driver', 'overlay']
    const start = (...args: string[]) => run(program, [...storage, ...args], { env })
    const unverified = plain('--tls-verify=false')
    return {
      login: (user, password) => start('login', ...unverified, '-u', user, '-p', password, host),
      logout: () => start('logout', host),
      push: async to => {
        const image = `${host}/${to}:v1`
        await writeFile(join(folder, 'Containerfile'), 'FROM scratch\nCOPY hello message.txt /\n')
        const recipe = ['--file', join(folder, 'Containerfile'), '--tag', image]
        await start('build', '--quiet', '--isolation', 'chroot', ...recipe, files)
        await start('push', '--quiet', ...unverified, image)
      },
      pull: from => start('pull', '--quiet', ...pulling, ...unverified, `${host}/${from}:v1`),
      end: () => start('rmi', '--all', '--force')
    }
  }

const crane: Make = ({ host, folder, run }, { layout }, plain) => {
  const crane = (...args: string[]) => run('crane', [...plain('--insecure'), ...args])
  return {
    login: async (user, password) => {
      // crane only notes what it is told.
      await run('crane', ['auth', 'login', '-u', user, '-p', password, host])
      await crane('catalog', host)
    },
    logout: () => run('crane', ['auth', 'logout', host]),
    push: to => crane('push', '--index', layout, `${host}/${to}:v1`),
    pull: from => crane('pull', '--format', 'oci', `${host}/${from}:v1`, join(folder, 'pulled'))
  }
}

/** It pushes what it knows to push without a signature, and notes a login where crane does. */
const cosign: Make = (client, { files }, plain) => {
  const { host, folder, run } = client
  const flags = () => [
    ...plain('--allow-http-registry'),
    ...certified(client, '--registry-client-cert', '--registry-client-key')
  ]
  const cosign = (...args: string[]) => run('cosign', args)
  return {
    login: async (user, password) => {
      await cosign('login', '-u', user, '-p', password, host)
      await cosign('tree', ...flags(), `${host}/team/absent:v1`).catch((error: Error) => {
        if (!/MANIFEST_UNKNOWN|NAME_UNKNOWN|403|DENIED/.test(error.message)) throw error
      })
    },
    logout: () => rm(join(folder, '.docker/config.json'), { force: true }),
    push: to => cosign('upload', 'blob', ...flags(), '-f', join(files, 'message.txt'), `${host}/${to}:v1`),
    pull: from => cosign('save', ...flags(), '--dir', join(folder, 'pulled'), `${host}/${from}:v1`)
  }
}

const oras: Make = (client, { layout }, plain) => {
  const { host, folder, run } = client
  const flags = (side = '') => [
    ...plain(`--${side}plain-http`),
    ...certified(client, `--${side}cert-file`, `--${side}key-file`)
  ]
  return {
    login: (user, password) => run('oras', ['login', ...flags(), '-u', user, '-p', password, host]),
    logout: () => run('oras', ['logout', host]),
    push: to => run('oras', ['cp', '--from-oci-layout', ...flags('to-'), `${layout}:hello`, `${host}/${to}:v1`]),
    pull: from => run('oras', ['cp', ...flags('from-'), '--to-oci-layout', `${host}/${from}:v1`, `${folder}/pulled:v1`])
  }
}

const regctl: Make = (client, { layout }, plain) => {
  const { host, folder, run } = client
  const { cert, key } = certificatesOf(client)
  const textOf = (file: string) => readFile(file, 'utf8').catch(() => '')
  /** What it notes of a registry, it forgets with a logout. Of certificates it wants the text and no file. */
  const set = async () => {
    const certificate = ['--client-cert', await textOf(cert), '--client-key', await textOf(key)]
    await run('regctl', ['registry', 'set', ...plain('--tls', 'disabled'), ...certificate, '--skip-check', host])
  }
  return {
    login: async (user, password) => {
      await set()
      await run('regctl', ['registry', 'login', host, '-u', user, '--pass-stdin'], { input: password })
    },
    logout: () => run('regctl', ['registry', 'logout', host]),
    push: async to => {
      await set()
      await run('regctl', ['image', 'copy', `ocidir://${layout}:hello`, `${host}/${to}:v1`])
    },
    pull: async from => {
      await set()
      await run('regctl', ['image', 'copy', `${host}/${from}:v1`, `ocidir://${folder}/pulled:v1`])
    }
  }
}

const helm: Make = (client, _samples, plain) => {
  const { host, folder, run } = client
  const flags = () => [...plain('--plain-http'), ...certified(client, '--cert-file', '--key-file')]
  return {
    login: (user, password) => run('helm', ['registry', 'login', ...flags(), '-u', user, '-p', password, host]),
    logout: () => run('helm', ['registry', 'logout', host]),
    push: async to => {
      await run('helm', ['create', 'v1']).catch(() => undefined) // it is there from the push before
      await run('helm', ['package', 'v1'])
      await run('helm', ['push', ...flags(), 'v1-0.1.0.tgz', `oci://${host}/${to}`])
    },
    pull: from => run('helm', ['pull', ...flags(), `oci://${host}/${from}/v1`, '--destination', folder])
  }
}

/** It keeps no login: it is told with each command who it is. */
const containerd: Make = (client, { layout }, plain) => {
  const { host, folder, run } = client
  const socket = join(folder, 'containerd.sock')
  const ctr = (...args: string[]) => run('ctr', ['--address', socket, ...args])
  let stop: (() => Promise<unknown>) | undefined
  let identity: string[] = []
  /** On loopback it speaks TLS only where a file says so. */
  const flags = async () => {
    const http = plain('--plain-http')
    if (http.length > 0) return [...http, ...identity]
    const { certs, cert, key } = certificatesOf(client)
    const own = existsSync(cert) ? `client = [["${cert}", "${key}"]]\n` : ''
    await writeFile(join(certs, 'hosts.toml'), `server = "https://${host}"\n${own}[host]\n`)
    return ['--hosts-dir', dirname(certs), ...identity]
  }
  const started = async () => (stop ??= await startDaemon(client, socket))
  const login = async (user: string, password: string) => {
    identity = ['--user', `${user}:${password}`]
    await started()
    await ctr('images', 'pull', ...(await flags()), `${host}/team/absent:v1`).catch((error: Error) => {
      // Who is known and may not see it is told so.
      if (!/not found|403/.test(error.message)) throw error
    })
  }
  return {
    login,
    logout: async () => {
      identity = []
    },
    push: async to => {
      await started()
      const archive = join(folder, 'samples.tar')
      await run('tar', ['-C', layout, '-cf', archive, '.'])
      const base = ['--snapshotter', 'native', '--all-platforms', '--base-name', `${host}/${to}`]
      await ctr('images', 'import', ...base, archive)
      await ctr('images', 'push', ...(await flags()), `${host}/${to}:v1`, `${host}/${to}:hello`)
    },
    pull: async from => ctr('images', 'pull', '--snapshotter', 'native', ...(await flags()), `${host}/${from}:v1`),
    terse: true,
    end: async () => stop?.()
  }
}

/**
 * On loopback its daemon verifies no certificate and shows none. What is refused over TLS it tries over plain HTTP too,
 * and then tells of that alone.
 */
const docker: Make = (client, { files }) => {
  const { host, folder, run } = client
  const log = join(folder, 'dockerd.log')
  let daemon: ReturnType<typeof startDocker> | undefined
  const docker = async (...args: string[]) => {
    daemon ??= startDocker(client)
    await daemon
    const { length } = await readFile(log)
    const command = ['--host', dockerSocket(folder), ...args]
    return await run(DOCKER, command, { env: { DOCKER_BUILDKIT: '0' } }).catch(async (error: Error) => {
      const lines = (await readFile(log)).subarray(length).toString().split('\n')
      if (lines.some(line => line.includes('Upload failed, retrying'))) throw new Error('the push was tried again')
      throw new Error([error.message, ...lines.filter(line => line.includes(`https://${host}/`))].join('\n'))
    })
  }
  return {
    login: (user, password) => docker('login', '-u', user, '-p', password, host),
    logout: () => docker('logout', host),
    push: async to => {
      const recipe = join(folder, 'Dockerfile')
      await writeFile(recipe, 'FROM scratch\nCOPY hello message.txt /\n')
      await docker('build', '--quiet', '--tag', `${host}/${to}:v1`, '--file', recipe, files)
      await docker('push', `${host}/${to}:v1`)
    },
    pull: from => docker('pull', '--quiet', `${host}/${from}:v1`),
    silent: true,
    end: async () => (await daemon)?.kill()
  }
}

/** It reads the logins that docker notes. */
const buildkit: Make = (client, { files }, plain) => {
  const { host, folder, run } = client
  const logins = join(folder, '.docker/config.json')
  const recipe = join(folder, 'recipe')
  let daemon: ReturnType<typeof startBuildkit> | undefined
  const started = async () => {
    const configuration = join(folder, 'buildkitd.toml')
    // On loopback it speaks TLS only where a file says so.
    const transport = plain('http = true')[0] ?? `http = false\ntlsconfigdir = ["${certificatesOf(client).certs}"]`
    await writeFile(configuration, `[registry."${host}"]\n${transport}\n`)
    return await startBuildkit(client, configuration)
  }
  const build = async (from: string, output: string) => {
    daemon ??= started()
    await daemon
    await mkdir(recipe, { recursive: true })
    await writeFile(join(recipe, 'Dockerfile'), `FROM ${from}\nCOPY hello message.txt /\n`)
    const inputs = ['--local', `context=${files}`, '--local', `dockerfile=${recipe}`, '--output', output]
    const command = ['build', '--progress', 'plain', '--frontend', 'dockerfile.v0', ...inputs]
    return await run('buildctl', ['--addr', buildkitAddress(folder), ...command])
  }
  const end = async () => {
    await (await daemon)?.kill()
    daemon = undefined
  }
  const pull = (from: string) => build(`${host}/${from}:v1`, `type=local,dest=${join(folder, 'pulled')}`)
  return {
    login: async (user, password) => {
      const auth = Buffer.from(`${user}:${password}`).toString('base64')
      await mkdir(dirname(logins), { recursive: true })
      await writeFile(logins, JSON.stringify({ auths: { [host]: { auth } } }))
      await pull('team/absent').catch((error: Error) => {
        if (!/not found|403/.test(error.message)) throw error
      })
    },
    logout: () => rm(logins, { force: true }),
    push: to => build('scratch', `type=image,name=${host}/${to}:v1,push=true`),
    pull,
    disconnect: end,
    end
  }
}

export const programs: Record<string, Make> = {
  docker,
  buildkit,
  skopeo,
  podman: builder('podman'),
  buildah: builder('buildah', '--policy', 'always'),
  containerd,
  crane,
  oras,
  regctl,
  helm,
  cosign
}
