import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type Program, startProgram } from '../reliability/program.ts'
import type { Client } from './client.ts'

/** Debian's: a machine may have another docker that comes first in PATH. */
export const DOCKER = '/usr/bin/docker'

export const dockerSocket = (folder: string): string => `unix://${folder}/docker.sock`

/** Starts a docker daemon of the client's own, which does not see the machine's configuration. */
export async function startDocker({ folder, run }: Client): Promise<Program> {
  const configuration = join(folder, 'etc')
  await mkdir(configuration, { recursive: true })
  const roots = ['--data-root', join(folder, 'data'), '--exec-root', join(folder, 'exec')]
  const network = ['--bridge=none', '--iptables=false', '--ip6tables=false', '--ip-masq=false']
  const address = ['--host', dockerSocket(folder), '--pidfile', join(folder, 'docker.pid')]
  return await startIsolated({
    command: ['/usr/sbin/dockerd', '--storage-driver', 'overlay2', ...roots, ...network, ...address],
    folder,
    mount: [configuration, '/etc/docker'],
    ready: () => run(DOCKER, ['--host', dockerSocket(folder), 'version'], { seconds: 10 })
  })
}

export const buildkitAddress = (folder: string): string => `unix://${folder}/buildkitd.sock`

/** Starts a BuildKit daemon of the client's own. @param registries its configuration of registries, as TOML */
export async function startBuildkit({ folder, run }: Client, configuration: string): Promise<Program> {
  const worker = ['--oci-worker-net', 'host', '--oci-worker-snapshotter', 'overlayfs', '--containerd-worker=false']
  const address = ['--addr', buildkitAddress(folder), '--root', join(folder, 'root'), '--config', configuration]
  return await startIsolated({
    command: ['buildkitd', ...address, ...worker],
    folder,
    ready: () => run('buildctl', ['--addr', buildkitAddress(folder), 'debug', 'workers'], { seconds: 10 })
  })
}

interface Daemon {
  command: string[]
  folder: string
  /** A folder, and the existing folder of the machine in whose place the daemon sees it. */
  mount?: [folder: string, place: string]
  ready(): Promise<unknown>
}

/**
 * Runs a daemon with mounts and processes of its own: whatever it mounted or started is gone when it is killed, and
 * nothing of the machine is changed.
 */
async function startIsolated({ command, folder, mount, ready }: Daemon): Promise<Program> {
  const [program = ''] = command
  const mounting = mount === undefined ? '' : 'mkdir -p "$2" && mount --bind "$1" "$2" && '
  const script = `${mounting}shift 2 && exec "$@"`
  const isolation = ['--mount', '--pid', '--fork', '--kill-child', '--mount-proc', '--propagation', 'private']
  return await startProgram({
    program: 'unshare',
    args: [...isolation, 'sh', '-c', script, 'sh', ...(mount ?? ['', '']), ...command],
    env: { HOME: folder },
    log: join(folder, `${program.slice(program.lastIndexOf('/') + 1)}.log`),
    ready: async () => (await ready()) !== undefined
  })
}
