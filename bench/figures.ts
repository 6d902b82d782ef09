import type { PeerName } from './peers.ts'

/** What one run of one piece of work gives. */
export interface Figures {
  /** How often it was done a second. */
  perSecond?: number
  /** How often it was done in a second of the server's processor time, over its whole process tree. */
  perCpuSecond?: number
  /** Latency in milliseconds: the median, and what 99 of 100 were faster than. */
  p50?: number
  p99?: number
  /** How long it took, and what the server's process tree spent on it. */
  seconds?: number
  cpuSeconds?: number
  mebibytes?: number
}

export type FigureName = keyof Figures

/** Who has figures: the servers, and the programs that do a part of the work with nothing around it. */
export type Participant = PeerName | 'openssl' | 'dd'

/** Figures by the work they belong to. */
export type Outcome = Record<string, Figures>

/** All runs, by work and participant, and what kept someone from having figures. */
export interface Results {
  add(participant: Participant, outcome: Outcome): void
  /** The median over the rounds; undefined: none has it. */
  median(work: string, participant: Participant, figure: FigureName): number | undefined
  /** The least and the most of the rounds. */
  spread(work: string, participant: Participant, figure: FigureName): [least: number, most: number] | undefined
  note(text: string): void
  readonly notes: readonly string[]
}

/** The middle one of some numbers, the greater of two. */
export const medianOf = (numbers: readonly number[]): number => numbers.toSorted((a, b) => a - b)[numbers.length >> 1]!

export function createResults(): Results {
  const runs = new Map<string, Figures[]>()
  const notes: string[] = []
  const sorted = (work: string, participant: Participant, figure: FigureName): number[] =>
    (runs.get(`${work} ${participant}`) ?? [])
      .map(figures => figures[figure])
      .filter(value => value !== undefined)
      .sort((a, b) => a - b)
  return {
    add: (participant, outcome) => {
      for (const [work, figures] of Object.entries(outcome)) {
        const name = `${work} ${participant}`
        runs.set(name, [...(runs.get(name) ?? []), figures])
      }
    },
    median: (...what) => {
      const values = sorted(...what)
      const middle = values.length >> 1
      return values.length % 2 === 1
        ? values[middle]
        : values.length === 0
          ? undefined
          : (values[middle - 1]! + values[middle]!) / 2
    },
    spread: (...what) => {
      const values = sorted(...what)
      return values.length === 0 ? undefined : [values[0]!, values.at(-1)!]
    },
    note: text => {
      if (!notes.includes(text)) notes.push(text)
    },
    notes
  }
}
