import type { Command } from 'commander'
import { withLease } from '../registry/gc/lease.ts'
import type { Report } from '../registry/gc/report.ts'
import { bytesText, durationText } from '../units.ts'
import { patternOption } from './names.ts'
import { createProgressBar } from './progress.ts'
import { CommandError, withStore } from './store.ts'

interface Options {
  dryRun?: boolean
  untagged?: boolean
  repository?: string
  json?: boolean
  force?: boolean
}

/** `gc`: one collection, beside servers that run. */
export function addGc(program: Command, env = process.env): void {
  program
    .command('gc')
    .description('give back what nothing needs, once; the servers go on serving')
    .option('--dry-run', 'write nothing, tell what would go')
    .option('--untagged', 'manifests too that no tag leads to')
    .option(
      '--repository <pattern>',
      'only the manifests and links of these repositories; * is any text without a slash, ** any text'
    )
    .option('--force', 'also where READ_ONLY or DELETE_ENABLED=false forbids it')
    .option('--json', 'the report as JSON')
    .action((options: Options) => collect(env, options))
}

async function collect(env: NodeJS.ProcessEnv, options: Options): Promise<void> {
  const { dryRun = false, untagged = false, json = false, force = false } = options
  const repository = patternOption(options.repository)
  await withStore(
    env,
    async ({ storage, collector }) => {
      const bar = await createProgressBar()
      const onProgress = bar.visible ? bar.show : undefined
      const work = () => collector.collect({ untagged, repository, onProgress })
      const report = await (dryRun ? work() : withLease(storage, work)).finally(bar.end)
      if (!report) throw new CommandError('another collector is at work on this store; try again when it has ended')
      if (repository !== undefined && report.repositories === 0) {
        throw new CommandError(`no repository matches ${JSON.stringify(repository)}; see repository list`)
      }
      console.log(json ? JSON.stringify({ dryRun, ...report }) : reportText(report, dryRun))
      for (const { repository, message } of report.problems) console.error(`${repository}: ${message}`)
      if (report.problems.length > 0) process.exitCode = 1
    },
    { dryRun, deletes: untagged, force }
  )
}

function reportText(report: Report, dryRun: boolean): string {
  const rows: [string, number][] = [
    ['repositories looked at', report.repositories],
    ['manifests', report.manifests],
    ['links to blobs', report.links],
    ['leftovers', report.leftovers],
    ['contents', report.contents],
    ['upload sessions', report.sessions]
  ]
  const table = rows.map(([what, count]) => `${what.padEnd(24)}${String(count).padStart(10)}`)
  const bytes = `${bytesText(report.bytes)} ${dryRun ? 'would be freed' : 'freed'}, in ${durationText(report.durationMs)}`
  return [dryRun ? 'Nothing was changed. This would go:' : 'Collected:', ...table, bytes].join('\n')
}
