import { readdir, readFile } from 'node:fs/promises'

/** What /proc tells of a process, or of one and all that it started. Linux only. */
export interface TreeUse {
  /** Processor time of all of them, in seconds, those that ended included. */
  cpuSeconds: number
  /** Resident memory of all of them now, in MiB. */
  residentMebibytes: number
  /** The most that a single one of them ever held, in MiB. */
  peakMebibytes: number
}

const ticksASecond = 100 // USER_HZ: the same on every Linux that Node.js runs on

/** The use of the process and of its descendants. */
export async function treeUse(pid: number): Promise<TreeUse> {
  const pids = await descendants(pid)
  const uses = await Promise.all(pids.map(useOf))
  return {
    cpuSeconds: sum(uses.map(use => use.ticks)) / ticksASecond,
    residentMebibytes: sum(uses.map(use => use.resident)) / 1024,
    peakMebibytes: Math.max(...uses.map(use => use.peak)) / 1024
  }
}

const sum = (numbers: number[]): number => numbers.reduce((total, number) => total + number, 0)

async function descendants(pid: number): Promise<number[]> {
  const all = (await readdir('/proc')).filter(name => /^\d+$/.test(name)).map(Number)
  const parents = new Map(await Promise.all(all.map(async one => [one, (await statOf(one)).parent] as const)))
  const tree = new Set([pid])
  for (let size = 0; size < tree.size; ) {
    size = tree.size
    for (const [one, parent] of parents) if (tree.has(parent)) tree.add(one)
  }
  return [...tree]
}

/** proc(5): what follows the name, which may hold spaces; the times include those of children waited for. */
async function statOf(pid: number): Promise<{ parent: number; ticks: number }> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return { parent: Number(fields[1]), ticks: sum(fields.slice(11, 15).map(Number)) }
}

async function useOf(pid: number): Promise<{ ticks: number; resident: number; peak: number }> {
  const text = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  const kibibytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1] ?? 0)
  return { ticks: (await statOf(pid)).ticks, resident: kibibytes('VmRSS'), peak: kibibytes('VmHWM') }
}
