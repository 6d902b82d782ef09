import type { Participant, Results } from './figures.ts'
import { moreIsBetter, type Row, type Target } from './rows.ts'

/** What a row says of a participant; undefined: it has no figure. */
export function figureOf(results: Results, row: Row, who: Participant): number | undefined {
  return row.most ? results.spread(row.work, who, row.figure)?.[1] : results.median(row.work, who, row.figure)
}

/** This project's figure divided by another's. */
export function ratioTo(results: Results, row: Row, who: Participant): number | undefined {
  const own = figureOf(results, row, 'marina')
  const other = figureOf(results, row, who)
  return own === undefined || other === undefined ? undefined : own / other
}

/** How many times better than another: above 1 where this project is ahead, whichever way the figure counts. */
export function advantageOver(results: Results, row: Row, who: Participant): number | undefined {
  const ratio = ratioTo(results, row, who)
  if (ratio === undefined) return undefined
  return moreIsBetter(row.figure) ? ratio : 1 / ratio
}

/** Whether a target is met; undefined where one of the figures it needs is not there. */
export function isMet(results: Results, row: Row, { times, of }: Target): boolean | undefined {
  const own = figureOf(results, row, 'marina')
  const others = of.map(who => figureOf(results, row, who))
  if (own === undefined || others.includes(undefined)) return undefined
  const limit = of.length === 0 ? times : times * Math.max(...others.map(Number))
  return moreIsBetter(row.figure) ? own >= limit : own <= limit
}
