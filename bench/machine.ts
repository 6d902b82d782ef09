import { cpus, release, totalmem } from 'node:os'

/** The day, and what figures depend on, in a line. */
export function machine(): string {
  const [cpu] = cpus()
  const size = `${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB`
  return `${new Date().toISOString().slice(0, 10)}, ${cpu?.model.trim()}, ${size}, Linux ${release()}, Node.js ${process.version}`
}
