import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { digestOf } from '../reliability/bytes.ts'
import { freePort, type Program, startProgram } from '../reliability/program.ts'
import type { Authority } from '../support/certificates.ts'
import { replaced } from '../support/documents.ts'

const examples = join(import.meta.dirname, '../../examples')
const HOST = 'registry.example.com'
/** More than nginx takes by itself, and more than it keeps in memory. */
const LAYER = 24 * 2 ** 20

export interface Proxy {
  running: Program
  /** The port that it takes HTTPS on. */
  port: number
  /** Files that it has put bodies into. */
  buffered(): Promise<string[]>
}

/** nginx with the example's configuration as it stands, but for ports and files. */
export async function startNginx(folder: string, registry: number, authority: Authority): Promise<Proxy> {
  const port = await freePort()
  const { certFile, keyFile } = authority.issue(HOST)
  const bodies = join(folder, 'bodies')
  await mkdir(bodies)
  const kinds = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  const places = kinds.map(kind => `${kind}_temp_path ${join(bodies, kind)};`).join(' ')
  const text = replaced(await readFile(join(examples, 'nginx/nginx.conf'), 'utf8'), {
    '127.0.0.1:5000': `127.0.0.1:${registry}`,
    'listen 443 ssl': `listen 127.0.0.1:${port} ssl`,
    '/etc/nginx/registry.pem': certFile,
    '/etc/nginx/registry.key': keyFile,
    'events {}': `daemon off; ${process.getuid?.() === 0 ? 'user root;' : ''} pid ${folder}/pid; events {}`,
    'http {': `http { access_log off; ${places}`
  })
  const file = join(folder, 'nginx.conf')
  await writeFile(file, text)
  const running = await startProgram({
    program: 'nginx',
    args: ['-p', folder, '-e', 'error.log', '-c', file],
    log: join(folder, 'nginx.log'),
    ready: () => isReady(port, authority.caFile)
  })
  const buffered = async () =>
    (await readdir(bodies, { recursive: true, withFileTypes: true }))
      .filter(entry => entry.isFile())
      .map(({ name }) => name)
  return { running, port, buffered }
}

/** Caddy with the example's configuration as it stands, but for ports and the certificate. */
export async function startCaddy(folder: string, registry: number, authority: Authority): Promise<Proxy> {
  const port = await freePort()
  const { certFile, keyFile } = authority.issue(HOST)
  const text = replaced(await readFile(join(examples, 'caddy/Caddyfile'), 'utf8'), {
    '127.0.0.1:5000': `127.0.0.1:${registry}`,
    [`${HOST} {`]: `{\n\tadmin off\n\tauto_https disable_redirects\n}\nhttps://${HOST}:${port}, https://127.0.0.1:${port} {\n\ttls ${certFile} ${keyFile}`
  })
  const file = join(folder, 'Caddyfile')
  await writeFile(file, text)
  const running = await startProgram({
    program: 'caddy',
    args: ['run', '--config', file, '--adapter', 'caddyfile'],
    env: { HOME: folder, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder },
    log: join(folder, 'caddy.log'),
    ready: () => isReady(port, authority.caFile)
  })
  return { running, port, buffered: async () => [] }
}

/** curl speaks HTTPS to a name that no server of names knows, and tells what came in. */
async function curl(port: number, caFile: string, path: string, ...more: string[]): Promise<string> {
  const base = ['--silent', '--show-error', '--include', '--max-time', '60', '--cacert', caFile]
  const address = ['--connect-to', `::127.0.0.1:${port}`, `https://127.0.0.1:${port}${path}`]
  const { stdout } = await promisify(execFile)('curl', [...base, ...more, ...address], {
    encoding: 'latin1',
    maxBuffer: 2 * LAYER
  })
  return stdout
}

const isReady = async (port: number, caFile: string): Promise<boolean> =>
  /^HTTP\/\S+ 200/.test(await curl(port, caFile, '/v2/'))

/** Pushes and pulls a layer through the proxy, at its root and below its path. Throws where an answer is not as it should be. */
export async function pushThrough(
  { port, buffered }: Proxy,
  caFile: string,
  folder: string,
  log: string
): Promise<void> {
  const layer = randomBytes(LAYER)
  const file = join(folder, 'layer')
  await writeFile(file, layer)
  const digest = digestOf(layer)
  for (const [prefix, spoofed] of [
    ['', '/elsewhere'],
    ['/team', '/elsewhere']
  ]) {
    const at = `${prefix}/v2/app${prefix}`
    const spoof = ['--header', `X-Forwarded-Prefix: ${spoofed}`]
    const begun = await curl(port, caFile, `${at}/blobs/uploads/`, '--request', 'POST', ...spoof)
    const location = /^location: (\S+)/im.exec(begun)?.[1] ?? ''
    assert.ok(location.startsWith(`${at}/blobs/uploads/`), `${begun}: a Location that leads back`)
    const url = `${location}?digest=${digest}`
    const put = await curl(port, caFile, url, '--upload-file', file, '--header', 'Expect:')
    assert.match(put, /^HTTP\/\S+ 201/, put.slice(0, 500))
    assert.equal(/^location: (\S+)/im.exec(put)?.[1], `${at}/blobs/${digest}`)
    const pulled = await curl(port, caFile, `${at}/blobs/${digest}`)
    const body = Buffer.from(pulled.slice(pulled.indexOf('\r\n\r\n') + 4), 'latin1')
    assert.equal(digestOf(body), digest)
    const page = await curl(port, caFile, `${prefix}/v2/_catalog?n=1`)
    const next = /^link: <([^>]+)>/im.exec(page)?.[1]
    if (next) assert.ok(next.startsWith(`${prefix}/v2/_catalog?`), next)
  }
  assert.deepEqual(await buffered(), [], 'bodies that were written to the disk of the proxy')
  const lines = (await readFile(log, 'utf8'))
    .split('\n')
    .flatMap(line => (line.startsWith('{') ? [JSON.parse(line)] : []))
  const seen = lines.find(({ req }) => req?.url?.startsWith('/v2/app/blobs/uploads/'))?.req
  assert.equal(seen?.host, `127.0.0.1:${port}`, 'the host that the client named')
}
