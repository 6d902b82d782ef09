import type { Command } from 'commander'
import type { Fault, VerifyReport } from '../registry/verify/fault.ts'
import type { Verifier } from '../registry/verify.ts'
import { bytesText, durationText } from '../units.ts'
import { patternOption } from './names.ts'
import { createProgressBar } from './progress.ts'
import { CommandError, withStore } from './store.ts'

interface Options {
  repair?: boolean
  force?: boolean
  json?: boolean
  repository?: string
  after?: string
}

/** `verify`: whether all that is stored is whole, beside servers that run. */
export function addVerify(program: Command, env = process.env): void {
  program
    .command('verify')
    .description('read every blob and look whether all keys fit together; exit code 1 if anything was wrong')
    .option('--repair', 'mend what has one right answer')
    .option('--force', 'repair also where READ_ONLY forbids it')
    .option(
      '--repository <pattern>',
      'only these repositories and what they link; * is any text without a slash, ** any text'
    )
    .option('--after <position>', 'go on where a run stopped: it tells the position')
    .option('--json', 'one JSON object a line: each fault, then the report')
    .action((options: Options) => {
      patternOption(options.repository)
      return withStore(env, ({ verifier }) => verify(verifier, options), {
        dryRun: !options.repair,
        force: options.force
      })
    })
}

async function verify(verifier: Verifier, { json = false, ...options }: Options): Promise<void> {
  const bar = await createProgressBar()
  const closing = new AbortController()
  const stop = (): void => closing.abort(new CommandError('stopped'))
  process.once('SIGINT', stop).once('SIGTERM', stop)
  let position: string | undefined
  try {
    const report = await verifier.verify({
      ...options,
      signal: closing.signal,
      onFault: fault => bar.line(json ? JSON.stringify(fault) : faultText(fault)),
      onProgress: progress => {
        position = progress.position
        bar.show(progress)
      }
    })
    bar.end()
    console.log(json ? JSON.stringify(report) : reportText(report, options.repair ?? false))
    if (report.faults > 0) process.exitCode = 1
  } catch (error) {
    bar.end()
    if (position === undefined) throw error
    throw new CommandError(`${(error as Error).message}; go on with --after ${position}`)
  } finally {
    process.off('SIGINT', stop).off('SIGTERM', stop)
  }
}

function faultText({ kind, repository = '', digest, tag, message, repaired }: Fault): string {
  const at = repository && digest ? '@' : ''
  const what = `${repository}${tag === undefined ? '' : `:${tag}`}${at}${digest ?? ''}`
  return `${repaired ? 'repaired' : 'fault   '} ${kind.padEnd(18)} ${[what, message].filter(Boolean).join(': ')}`
}

function reportText(report: VerifyReport, repair: boolean): string {
  const rows: [string, number][] = [
    ['repositories', report.repositories],
    ['manifests', report.manifests],
    ['tags', report.tags],
    ['referrers', report.referrers],
    ['links to blobs', report.links],
    ['contents', report.contents],
    ['hints', report.hints]
  ]
  const table = rows.map(([what, count]) => `${what.padEnd(24)}${String(count).padStart(10)}`)
  const { faults, repaired } = report
  const left = repair ? `, ${repaired} of them repaired` : ''
  const verdict = faults === 0 ? 'nothing wrong' : `${faults} ${faults === 1 ? 'fault' : 'faults'}${left}`
  return [...table, `${bytesText(report.bytes)} read in ${durationText(report.durationMs)}: ${verdict}`].join('\n')
}
