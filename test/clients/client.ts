import assert from 'node:assert/strict'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Checks } from '../reliability/checks.ts'
import { type CommandOptions, run } from './commands.ts'
import { assertSame, everythingInLayout, type Samples } from './images.ts'
import type { Registry } from './registry.ts'

/** What one client is tested with. */
export interface Client {
  /** As clients name the registry: `127.0.0.1:5000`. */
  host: string
  /** An empty folder of this client's own; it is the HOME of its programs and they run in it. */
  folder: string
  samples: Samples
  registry: Registry
  /** A named check, which fails by throwing. */
  check(name: string, run: () => Promise<void>): Promise<void>
  /** Runs a program and returns its stdout as it is. Throws when it fails or is not installed. */
  output(program: string, args: readonly string[], options?: CommandOptions): Promise<Buffer>
  /** As `output`, as text without space around it. */
  run(program: string, args: readonly string[], options?: CommandOptions): Promise<string>
  /** Pushes the sample image `hello` there, for clients that need an image of somebody else's. */
  pushHello(target: string): Promise<unknown>
  /** Throws unless the registry holds the sample of this digest there, byte for byte. */
  assertPushed(repository: string, reference: string, sample: string): Promise<void>
  /** Throws unless the OCI layout holds the sample of this digest, byte for byte. */
  assertPulled(layout: string, sample: string): Promise<void>
}

/** The checks of one client, in an order in which the later build on the earlier. */
export type ClientChecks = (client: Client) => Promise<void>

export interface ClientSetting {
  name: string
  url: string
  scratch: string
  samples: Samples
  registry: Registry
  checks: Checks
  /** More of its programs' environment. */
  env?: NodeJS.ProcessEnv
}

/** @param setting `name` goes before the checks' names and is the name of the client's folder below `scratch` */
export async function createClient(setting: ClientSetting): Promise<Client> {
  const { name, url, samples, registry, checks } = setting
  const folder = join(setting.scratch, name)
  await mkdir(folder)
  const env = { ...clientEnvironment(folder), ...setting.env }
  const output: Client['output'] = (program, args, options = {}) =>
    run(program, args, { folder, ...options, env: { ...env, ...options.env } })
  return {
    host: new URL(url).host,
    folder,
    samples,
    registry,
    check: (title, body) => checks.check(`${name}: ${title}`, () => body().then(() => undefined)),
    output,
    run: async (...command) => (await output(...command)).toString().trim(),
    pushHello: target =>
      output('skopeo', ['copy', '--dest-tls-verify=false', `oci:${samples.layout}:hello`, `docker://${target}`]),
    async assertPushed(repository, reference, sample) {
      assert.equal((await registry.manifest(repository, reference)).digest, sample)
      assertSame(await registry.everything(repository, reference), await everythingInLayout(samples.layout, sample))
    },
    async assertPulled(layout, sample) {
      assertSame(await everythingInLayout(layout, sample), await everythingInLayout(samples.layout, sample))
    }
  }
}

/** Nothing that the user has configured (logins, mirrors, caches) is used or changed. */
function clientEnvironment(folder: string): NodeJS.ProcessEnv {
  return { PATH: process.env.PATH, LANG: 'C.UTF-8', HOME: folder, TMPDIR: folder }
}
