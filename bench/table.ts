import type { Participant, Results } from './figures.ts'
import { moreIsBetter, type Row, type Section, sections, type Target } from './rows.ts'
import { figureOf, isMet, ratioTo } from './verdict.ts'

export interface Column {
  name: Participant
  title: string
}

/** The tables as Markdown, of what was measured of anybody. */
export function tables(results: Results, columns: readonly Column[], wanted = sections): string {
  const isMeasured = (row: Row) => columns.some(({ name }) => figureOf(results, row, name) !== undefined)
  return wanted
    .map(section => ({ ...section, rows: section.rows.filter(isMeasured) }))
    .filter(({ rows }) => rows.length > 0)
    .map(section => table(results, columns, section))
    .join('\n')
}

function table(results: Results, columns: readonly Column[], { title, unit, rows }: Section): string {
  const shown = columns.filter(({ name }) => rows.some(row => figureOf(results, row, name) !== undefined))
  const others = shown.filter(({ name }) => name !== 'marina')
  const header = ['', ...shown.map(column => column.title), 'ratio', 'target', 'met']
  const lines = rows.map(row => [
    row.title,
    ...shown.map(({ name }) => cell(results, row, name)),
    others.flatMap(({ name, title }) => ratio(results, row, name, title)).join(', '),
    row.targets.map(target => targetText(row, target, columns)).join('; '),
    row.targets.map(target => metText(isMet(results, row, target))).join('; ')
  ])
  const toLine = (cells: string[]) => `| ${cells.join(' | ')} |`
  const rule = `|---|${'---:|'.repeat(shown.length)}---|---|---|`
  return [
    `## ${title}`,
    '',
    `${unit[0]!.toUpperCase()}${unit.slice(1)}.`,
    '',
    toLine(header),
    rule,
    ...lines.map(toLine),
    ''
  ].join('\n')
}

function cell(results: Results, row: Row, who: Participant): string {
  const value = figureOf(results, row, who)
  const beside = row.beside && results.median(row.work, who, row.beside)
  if (value === undefined) return '–'
  return beside === undefined ? rounded(value) : `${rounded(value)} (${rounded(beside)})`
}

function ratio(results: Results, row: Row, who: Participant, title: string): string[] {
  const ratio = ratioTo(results, row, who)
  return ratio === undefined ? [] : [`${rounded(ratio)} × ${title}`]
}

function targetText({ figure }: Row, { times, of }: Target, columns: readonly Column[]): string {
  const titles = of.map(who => columns.find(({ name }) => name === who)?.title ?? who)
  const against =
    titles.length > 1 ? ` × the longer of ${titles.join(' and ')}` : titles.map(title => ` × ${title}`).join('')
  return `${moreIsBetter(figure) ? '≥' : '≤'} ${rounded(times)}${against}`
}

const metText = (met: boolean | undefined): string => (met === undefined ? 'not measured' : met ? 'yes' : '**no**')

/** Three digits that count; whole numbers with their thousands marked. */
export function rounded(value: number): string {
  if (value >= 100) return Math.round(value).toLocaleString('en')
  return String(Number(value.toPrecision(3)))
}
