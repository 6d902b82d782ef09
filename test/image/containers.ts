import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** What a container gets has to be spelled out where the tests themselves run in a container with few rights. */
const engine = `[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
`

/**
 * The variables by which podman, and what runs it, keeps everything below `folder`: commands are run as a document has
 * them, without an option more.
 */
export async function containerEnvironment(folder: string): Promise<NodeJS.ProcessEnv> {
  const [containers, storage] = [join(folder, 'containers.conf'), join(folder, 'storage.conf')]
  await writeFile(containers, engine)
  const roots = `graphroot = "${folder}/root"\nrunroot = "${folder}/run"`
  await writeFile(storage, `[storage]\ndriver = "overlay"\n${roots}\n`)
  return {
    PATH: process.env.PATH,
    LANG: 'C.UTF-8',
    HOME: folder,
    TMPDIR: folder,
    BUILDAH_ISOLATION: 'chroot',
    CONTAINERS_CONF: containers,
    CONTAINERS_STORAGE_CONF: storage
  }
}
