import { readdir, readFile } from 'node:fs/promises'
import { LOST } from './data-owner.ts'

/** Where the image keeps content. */
const OURS = '/data'
/** Where the image of CNCF Distribution does: a compose file that was made for it mounts its data there. */
const THEIRS = '/var/lib/registry'

/** Volumes that nobody asked for: an image that declares a volume gets one of these. */
const ANONYMOUS = /\/volumes\/[0-9a-f]{64}\/_data$/

/** What a container is given, as far as the choice of its folder goes. */
export interface Mounts {
  /** The text of /proc/self/mountinfo (proc_pid_mountinfo(5)). */
  mountinfo: string
  isEmpty(folder: string): Promise<boolean>
}

/**
 * The folder of a container whose environment names none: `/data`, unless only `/var/lib/registry` was mounted. Content that
 * is in `/data` already stays in use.
 */
export async function dataFolder({ mountinfo, isEmpty }: Mounts): Promise<string> {
  const roots = new Map<string, string>()
  for (const line of mountinfo.split('\n')) {
    const [, , , root = '', point = ''] = line.split(' ')
    roots.set(point, root)
  }
  const isMounted = (folder: string): boolean => {
    const root = roots.get(folder)
    return root !== undefined && !ANONYMOUS.test(root)
  }
  return isMounted(THEIRS) && !isMounted(OURS) && (await isEmpty(OURS)) ? THEIRS : OURS
}

export async function mountsHere(): Promise<Mounts> {
  const mountinfo = await readFile('/proc/self/mountinfo', 'utf8').catch(() => '')
  const isEmpty = async (folder: string): Promise<boolean> => {
    const names = await readdir(folder).catch(() => [])
    return names.every(name => name === LOST)
  }
  return { mountinfo, isEmpty }
}
