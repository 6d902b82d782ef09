/** Runs the groups of clients named as arguments, or all of them, and counts their checks. */
import { parseArgs } from 'node:util'
import { withScratch } from '../reliability/scratch.ts'
import { startServer } from '../reliability/server-process.ts'
import { buildah } from './buildah.ts'
import { buildkit } from './buildkit.ts'
import { type ClientChecks, createClient } from './client.ts'
import { conftest } from './conftest.ts'
import { containerd } from './containerd.ts'
import { cosign } from './cosign.ts'
import { cosignTwo } from './cosign-two.ts'
import { crane } from './crane.ts'
import { docker } from './docker.ts'
import { dxf } from './dxf.ts'
import { helm } from './helm.ts'
import { buildSamples } from './images.ts'
import { jib } from './jib.ts'
import { ko } from './ko.ts'
import { notation } from './notation.ts'
import { oras } from './oras.ts'
import { orasPy } from './oras-py.ts'
import { podman } from './podman.ts'
import { readme } from './readme.ts'
import { regctl } from './regctl.ts'
import { createRegistry } from './registry.ts'
import { skopeo } from './skopeo.ts'

const groups: Record<string, ClientChecks> = {
  docker,
  buildkit,
  skopeo,
  podman,
  buildah,
  containerd,
  crane,
  oras,
  regctl,
  helm,
  cosign,
  readme
}

/** Those that `.ci/install-clients --slow` installs. */
const slowGroups: Record<string, ClientChecks> = {
  helm,
  cosign: cosignTwo,
  notation,
  ko,
  conftest,
  'oras-py': orasPy,
  dxf,
  jib
}

const { values, positionals } = parseArgs({
  options: { slow: { type: 'boolean', default: false } },
  allowPositionals: true
})
const available = values.slow ? slowGroups : groups
const wanted = positionals.length > 0 ? positionals : Object.keys(available)

await withScratch(15, async (checks, scratch) => {
  const url = process.env.MARINA_URL || (await startServer(scratch)).url
  const samples = await buildSamples(scratch.folder)
  const registry = createRegistry(url)
  for (const name of wanted) {
    const group = available[name]
    if (group === undefined)
      throw new Error(`No client is called ${name}; there are ${Object.keys(available).join(', ')}`)
    await group(await createClient({ name, url, scratch: scratch.folder, samples, registry, checks }))
  }
})
