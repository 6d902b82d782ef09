/** Runs the groups of clients named as arguments, or all of them, and counts their checks. */
import { withScratch } from '../reliability/scratch.ts'
import { startServer } from '../reliability/server-process.ts'
import { buildah } from './buildah.ts'
import { type ClientChecks, createClient } from './client.ts'
import { containerd } from './containerd.ts'
import { cosign } from './cosign.ts'
import { crane } from './crane.ts'
import { helm } from './helm.ts'
import { buildSamples } from './images.ts'
import { oras } from './oras.ts'
import { podman } from './podman.ts'
import { readme } from './readme.ts'
import { regctl } from './regctl.ts'
import { createRegistry } from './registry.ts'
import { skopeo } from './skopeo.ts'

const groups: Record<string, ClientChecks> = {
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

const wanted = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(groups)

await withScratch(15, async (checks, scratch) => {
  const url = process.env.MARINA_URL || (await startServer(scratch)).url
  const samples = await buildSamples(scratch.folder)
  const registry = createRegistry(url)
  for (const name of wanted) {
    const group = groups[name]
    if (group === undefined) throw new Error(`No client is called ${name}; there are ${Object.keys(groups).join(', ')}`)
    await group(await createClient({ name, url, scratch: scratch.folder, samples, registry, checks }))
  }
})
