import { chown, mkdir, readdir, readFile, stat } from 'node:fs/promises'

/** Who a registry runs as whose folder belongs to nobody yet. */
const USER = { uid: 10001, gid: 10001 }
/** A new volume may have this, and is empty all the same. */
export const LOST = 'lost+found'

/**
 * Makes a process that was started as root the user that owns the folder, so that content keeps its owner whoever starts
 * the container. An empty folder of root's is given to a user of its own first. Any other user, and root inside a user
 * namespace (which is a plain user outside of it), stays who it is. Returns a sentence for the operator where root can't
 * be given up, as in a container without the right to it.
 */
export async function becomeOwner(folder: string): Promise<string | undefined> {
  if (process.getuid?.() !== 0 || (await inUserNamespace())) return undefined
  try {
    const owner = await ownerOf(folder)
    if (owner.uid === 0)
      return `runs as root, as ${folder} belongs to root and is not empty: chown -R ${USER.uid}:${USER.gid} it`
    become(owner)
    return undefined
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code !== 'EPERM' && code !== 'EROFS' && code !== 'EACCES') throw error
    return `still root, since the owner of ${folder} can not be taken on (${message})`
  }
}

/**
 * Makes a process of root the user that owns a folder, so that what a command writes there belongs to the server's user.
 * Returns a sentence where that can't be. Any other user, and root inside a user namespace, stays who it is.
 */
export async function actAsOwner(folder: string): Promise<string | undefined> {
  if (process.geteuid?.() !== 0 || (await inUserNamespace())) return undefined
  const owner = await stat(folder)
  if (owner.uid === 0) return undefined
  try {
    become(owner)
    return undefined
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code !== 'EPERM') throw error
    return `${folder} belongs to user ${owner.uid}, which root can't become here (${message}); run this as that user`
  }
}

function become({ uid, gid }: { uid: number; gid: number }): void {
  process.setgroups!([])
  process.setgid!(gid)
  process.setuid!(uid)
}

async function ownerOf(folder: string): Promise<{ uid: number; gid: number }> {
  await mkdir(folder, { recursive: true })
  const owner = await stat(folder)
  if (owner.uid !== 0 || (await readdir(folder)).some(name => name !== LOST)) return owner
  await chown(folder, USER.uid, USER.gid)
  return USER
}

/** user_namespaces(7): outside of all, every id is mapped to itself. */
async function inUserNamespace(): Promise<boolean> {
  const map = await readFile('/proc/self/uid_map', 'utf8').catch(() => undefined)
  return map !== undefined && !/^\s*0\s+0\s+4294967295\s*$/.test(map)
}
