import type { Participant, Results } from './figures.ts'
import { type Row, sections } from './rows.ts'
import { type Column, rounded } from './table.ts'
import { advantageOver } from './verdict.ts'

interface Bar {
  column: Column
  advantage: number
}

const width = 960
const left = 330
const right = 60
const top = 74
const barHeight = 11
const groupGap = 9
const least = 0.02
const most = 100
const colours: Partial<Record<Participant, string>> = {
  distribution: '#4477aa',
  zot: '#ee6677',
  olareg: '#228833',
  nginx: '#aa7733',
  openssl: '#777777',
  dd: '#aaaaaa'
}

/** An SVG: for each row and each other how many times better this project is, on a logarithmic axis. */
export function picture(results: Results, columns: readonly Column[]): string {
  const groups = sections
    .flatMap(section => section.rows)
    .map(row => ({ row, bars: barsOf(results, row, columns) }))
    .filter(({ bars }) => bars.length > 0)
  let y = top
  const drawn = groups.map(({ row, bars }) => {
    const text = group(row, bars, y)
    y += bars.length * barHeight + groupGap
    return text
  })
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${y + 20}" font-family="sans-serif" font-size="11">
<rect width="100%" height="100%" fill="white"/>
<text x="16" y="24" font-size="15">marina-distribution beside others: how many times better it is (left of 1: worse)</text>
${legend(
  columns,
  groups.flatMap(({ bars }) => bars)
)}
${axis(y)}
${drawn.join('\n')}
</svg>
`
}

function barsOf(results: Results, row: Row, columns: readonly Column[]): Bar[] {
  return columns
    .filter(({ name }) => name !== 'marina')
    .map(column => ({ column, advantage: advantageOver(results, row, column.name) ?? 0 }))
    .filter(({ advantage }) => advantage > 0)
}

function positionOf(advantage: number): number {
  const share = Math.log(Math.min(most, Math.max(least, advantage)) / least) / Math.log(most / least)
  return left + share * (width - left - right)
}

function group(row: Row, bars: Bar[], y: number): string {
  const middle = y + (bars.length * barHeight) / 2 + 4
  const label = `<text x="${left - 12}" y="${middle}" text-anchor="end">${escaped(`${row.title}${suffix(row)}`)}</text>`
  const origin = positionOf(1)
  const drawn = bars.map(({ column, advantage }, index) => {
    const at = y + index * barHeight
    const end = positionOf(advantage)
    const from = Math.min(origin, end)
    const length = Math.max(1, Math.abs(end - origin)).toFixed(1)
    const behind = Math.max(origin, end) + 4
    return `<rect x="${from.toFixed(1)}" y="${at}" width="${length}" height="${barHeight - 2}" fill="${colours[column.name]}"/><text x="${behind.toFixed(1)}" y="${at + 8}" font-size="9">${rounded(advantage)}</text>`
  })
  return [label, ...drawn].join('')
}

const suffix = ({ figure }: Row): string => (figure === 'perCpuSecond' ? ', per CPU-second' : '')

function axis(bottom: number): string {
  const marks = [0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100]
  return marks
    .map(mark => {
      const x = positionOf(mark).toFixed(1)
      const stroke = mark === 1 ? '#333333' : '#dddddd'
      return `<line x1="${x}" y1="${top - 8}" x2="${x}" y2="${bottom}" stroke="${stroke}"/><text x="${x}" y="${top - 13}" text-anchor="middle" fill="#555555">${mark}</text>`
    })
    .join('\n')
}

function legend(columns: readonly Column[], bars: Bar[]): string {
  const present = columns.filter(({ name }) => bars.some(({ column }) => column.name === name))
  return present
    .map(
      ({ name, title }, index) =>
        `<rect x="${16 + index * 130}" y="36" width="10" height="10" fill="${colours[name]}"/><text x="${30 + index * 130}" y="45">${escaped(title)}</text>`
    )
    .join('')
}

const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
