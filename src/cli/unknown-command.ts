import type { Command } from 'commander'
import { editDistance } from '../config/names.ts'
import { UsageError } from './store.ts'

/** What other registries call our commands. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  'garbage-collect': 'gc',
  prune: 'gc',
  scrub: 'verify',
  fsck: 'verify',
  start: 'serve',
  run: 'serve',
  catalog: 'repository list'
}

/** Letters that may be wrong, missing or too many in a name that is still taken for a known one. */
const NEAR = 2

/**
 * Refuses a first word that is no command: otherwise it would count as an argument of the default command, `serve`, and
 * the message would be about that.
 *
 * @param args the command line without the program's name
 */
export function refuseUnknownCommand(program: Command, args: readonly string[]): void {
  const [first, ...rest] = args.filter(arg => !arg.startsWith('-'))
  if (first === undefined) return
  const known = program.commands.map(command => command.name())
  if (first === 'serve' && rest[0] !== undefined) {
    throw new UsageError(`serve takes no argument, and ${JSON.stringify(rest[0])} is one: ${CONFIGURED}`)
  }
  if (first === 'help' || known.includes(first)) return
  const meant = ELSEWHERE[first] ?? nearest(first, known)
  if (meant !== undefined) throw new UsageError(`unknown command ${JSON.stringify(first)}; did you mean \`${meant}\`?`)
  if (/[./]/.test(first))
    throw new UsageError(
      `unknown command ${JSON.stringify(first)}; to start the registry: \`serve\`, and ${CONFIGURED}`
    )
  throw new UsageError(`unknown command ${JSON.stringify(first)}; there are ${known.join(', ')}`)
}

const CONFIGURED = 'all configuration comes from environment variables (docs/configuration.md, or --help)'

function nearest(name: string, known: readonly string[]): string | undefined {
  const [best] = known
    .map(candidate => ({ candidate, distance: editDistance(name.slice(0, 40), candidate) }))
    .filter(({ candidate, distance }) => distance <= Math.min(NEAR, candidate.length - 1))
    .sort((a, b) => a.distance - b.distance)
  return best?.candidate
}
