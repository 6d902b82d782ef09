import { parseArgs } from 'node:util'

/** How long and how large the bench is. */
export interface Settings {
  /** Of one run of small requests. */
  seconds: number
  rounds: number
  /** Of a large blob, in bytes. */
  largeBytes: number
  /** In the repository with very many. */
  tags: number
  /** Files in the folder of the start-up with much stored. */
  objects: number
  /** A peer has this long to take the very many tags, which it gets through the API. */
  seedSeconds: number
  /** Names of scenarios; empty: all. */
  only: string[]
  /** Folder of the results; undefined: they are only printed. */
  out: string | undefined
}

export const usage = `node --import tsx bench/run.ts [options]
  --seconds N       of one run of small requests (3)
  --rounds N        (3)
  --large MIB       size of a large blob, in MiB (1024)
  --tags N          in the repository with very many (100000)
  --objects N       stored files for the start-up with much stored (1000000)
  --seed-seconds N  a peer has to take the very many tags through the API (30)
  --only A,B        these scenarios only; without --out the tables are printed
  --out FOLDER      of results.md and results.svg (bench)`

/** Reads the command line; throws on an option that it does not know or a number that is none. */
export function parseSettings(args: string[]): Settings {
  const text = { type: 'string' } as const
  const options = { seconds: text, rounds: text, large: text, tags: text, objects: text, only: text, out: text }
  const { values } = parseArgs({ args, options: { ...options, 'seed-seconds': text } })
  const number = (name: keyof typeof values, usual: number): number => {
    const given = values[name] === undefined ? usual : Number(values[name])
    if (!(given > 0)) throw new Error(`--${name} is "${values[name]}" and should be a number above 0`)
    return given
  }
  return {
    seconds: number('seconds', 3),
    rounds: number('rounds', 3),
    largeBytes: number('large', 1024) * 2 ** 20,
    tags: number('tags', 100_000),
    objects: number('objects', 1_000_000),
    seedSeconds: number('seed-seconds', 30),
    only: values.only?.split(',') ?? [],
    out: values.out ?? (values.only === undefined ? import.meta.dirname : undefined)
  }
}
