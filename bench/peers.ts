import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { version } from '../src/version.ts'

export const peerNames = ['marina', 'distribution', 'zot', 'olareg', 'nginx'] as const
export type PeerName = (typeof peerNames)[number]

/** Where a server runs: a fresh folder of its own and, inside it, the one that its content goes to. */
export interface Place {
  folder: string
  storage: string
  port: number
}

export interface Command {
  program: string
  args: string[]
  env?: Record<string, string>
}

/** A program that is measured. */
export interface Peer {
  name: PeerName
  title: string
  version: string
  /** Field that its clients log in with, where it wants a login. */
  authorization?: string
  /** Writes the configuration that it needs and returns how it is started: as it comes, but with its logs off. */
  command(place: Place): Promise<Command>
}

const root = join(import.meta.dirname, '..')
const ownProgram = join(root, 'dist/src/cli.js')

/** Those that are on this machine, and why the others are not measured. */
export function findPeers(): { present: Peer[]; missing: string[] } {
  const found = [
    ownPeer(({ storage }) => ({ STORAGE_PATH: storage })),
    findDistribution(({ storage }) => ({ filesystem: { rootdirectory: storage } })),
    installed('zot', process.env.BENCH_ZOT, 'set `BENCH_ZOT` to its binary', zotPeer),
    installed('olareg', process.env.BENCH_OLAREG, 'set `BENCH_OLAREG` to its binary', olaregPeer),
    installed('nginx', locate('nginx'), 'run `.ci/install-peers`', nginxPeer)
  ]
  return {
    present: found.filter(peer => typeof peer !== 'string'),
    missing: found.filter(peer => typeof peer === 'string')
  }
}

/** CNCF Distribution with this storage, or why it is not measured. */
export function findDistribution(storage: (place: Place) => object): Peer | string {
  const program = execFileSync(join(root, '.ci/install-peers'), ['--path'], { encoding: 'utf8' }).trim()
  return installed('CNCF Distribution', program, 'run `.ci/install-peers`', found => distributionPeer(found, storage))
}

function installed(
  title: string,
  program: string | undefined,
  remedy: string,
  peer: (program: string) => Peer
): Peer | string {
  return program !== undefined && existsSync(program) ? peer(program) : `${title} was not there: ${remedy}`
}

function locate(program: string): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(':'), '/usr/sbin']
  return folders.map(folder => join(folder, program)).find(existsSync)
}

function versionOf(program: string, argument: string, pattern = /v?(\d+\.\d+\.\d+(?:-[\w.]+)?)/): string {
  const { stdout, stderr } = spawnSync(program, [argument], { encoding: 'utf8' })
  return pattern.exec(`${stdout} ${stderr}`)?.[1] ?? 'of an unknown version'
}

/** This registry, as it is built, with these variables for its storage. */
export function ownPeer(storage: (place: Place) => Record<string, string>): Peer {
  if (!existsSync(ownProgram)) throw new Error('The server is not built: run `npm run build` first')
  return {
    name: 'marina',
    title: 'marina-distribution',
    version,
    command: async place => ({
      program: process.execPath,
      args: [ownProgram],
      env: { HOST: '127.0.0.1', PORT: String(place.port), LOG_LEVEL: 'warn', LOG_FORMAT: 'json', ...storage(place) }
    })
  }
}

const distributionPeer = (program: string, storageOf: (place: Place) => object): Peer => ({
  name: 'distribution',
  title: 'CNCF Distribution',
  version: versionOf(program, '--version'),
  command: async place => {
    const configuration = {
      version: 0.1,
      log: { level: 'error', accesslog: { disabled: true } },
      storage: { ...storageOf(place), cache: { blobdescriptor: 'inmemory' } },
      http: { addr: `127.0.0.1:${place.port}` }
    }
    const path = join(place.folder, 'distribution.yml')
    await writeFile(path, JSON.stringify(configuration)) // JSON is YAML
    return { program, args: ['serve', path], env: { OTEL_TRACES_EXPORTER: 'none' } }
  }
})

const zotPeer = (program: string): Peer => ({
  name: 'zot',
  title: 'zot',
  version: versionOf(program, '--version', /"commit":"v?([^"]+)"/),
  command: async ({ folder, storage, port }) => {
    const configuration = {
      distSpecVersion: '1.1.1',
      storage: { rootDirectory: storage },
      http: { address: '127.0.0.1', port: String(port) },
      log: { level: 'error' }
    }
    const path = join(folder, 'zot.json')
    await writeFile(path, JSON.stringify(configuration))
    return { program, args: ['serve', path] }
  }
})

const olaregPeer = (program: string): Peer => ({
  name: 'olareg',
  title: 'olareg',
  version: versionOf(program, 'version', /VCSTag: +v?(\S+)/),
  command: async ({ storage, port }) => {
    const args = ['--addr', '127.0.0.1', '--port', String(port), '--dir', storage, '--verbosity', 'error']
    return { program, args: ['serve', ...args] }
  }
})

/** For downloads: the kernel sends the file, nothing is checked. */
const nginxPeer = (program: string): Peer => ({
  name: 'nginx',
  title: 'nginx, sendfile',
  version: versionOf(program, '-v'),
  command: async ({ folder, storage, port }) => {
    await mkdir(join(folder, 'logs'))
    const asRoot = process.getuid?.() === 0 ? 'user root;' : ''
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
      name => `${name}_temp_path logs/${name};`
    )
    const path = join(folder, 'nginx.conf')
    await writeFile(
      path,
      `daemon off; ${asRoot} worker_processes auto; pid logs/pid; error_log logs/error crit;
      events { worker_connections 256; }
      http {
        access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000; ${temporary.join(' ')}
        server { listen 127.0.0.1:${port}; root ${storage}; }
      }`
    )
    return { program, args: ['-p', folder, '-c', path] }
  }
})
