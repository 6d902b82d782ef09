import type { FigureName, Participant } from './figures.ts'

/** Wanted of this project's figure: against the largest of others' figures, or alone. */
export interface Target {
  times: number
  /** Empty: `times` is itself the limit, in the row's unit. */
  of: readonly Participant[]
}

/** A line of the table. */
export interface Row {
  /** Key of an `Outcome`. */
  work: string
  title: string
  figure: FigureName
  /** Shown in parentheses behind it. */
  beside?: FigureName
  /** The largest of all runs counts, not the median. */
  most?: true
  targets: readonly Target[]
}

export interface Section {
  title: string
  /** What the figures are. */
  unit: string
  rows: readonly Row[]
}

/** Whether more of it is better. */
export const moreIsBetter = (figure: FigureName): boolean => figure === 'perSecond' || figure === 'perCpuSecond'

const times = (times: number, ...of: Participant[]): Target => ({ times, of })
const atMost = (times: number): Target => ({ times, of: [] })

const efficiency = (work: string, title: string, ...targets: Target[]): Row => ({
  work,
  title,
  figure: 'perCpuSecond',
  beside: 'perSecond',
  targets
})
const rate = (work: string, title: string, ...targets: Target[]): Row => ({
  work,
  title,
  figure: 'perSecond',
  beside: 'perCpuSecond',
  targets
})
const duration = (work: string, title: string, ...targets: Target[]): Row => ({
  work,
  title,
  figure: 'seconds',
  beside: 'cpuSeconds',
  targets
})
const latency = (work: string, title: string, figure: 'p50' | 'p99', ...targets: Target[]): Row => ({
  work,
  title,
  figure,
  targets
})
const memory = (work: string, title: string, ...targets: Target[]): Row => ({
  work,
  title,
  figure: 'mebibytes',
  most: true,
  targets
})

/** All that is shown, with the project's targets. */
export const sections: readonly Section[] = [
  {
    title: 'Small reads, 16 clients',
    unit: 'requests in a second of the server’s processor time (in parentheses: in a second of the clock)',
    rows: [
      efficiency('manifest-by-tag', 'GET manifest by tag', times(2, 'zot')),
      efficiency('manifest-by-digest', 'GET manifest by digest', times(2.5, 'zot')),
      efficiency('manifest-head', 'HEAD manifest by tag'),
      efficiency('blob-head', 'HEAD blob', times(3, 'zot')),
      efficiency('blob-2k', 'GET blob of 2 kB', times(3, 'zot')),
      efficiency('tags-few', '100 tags of 2,000', times(20, 'distribution')),
      efficiency('tags-many', '100 tags of very many', times(20, 'distribution')),
      efficiency('referrers', '1,000 referrers of a subject')
    ]
  },
  {
    title: 'Small pushes, 16 clients',
    unit: 'pushes in a second of the clock (in parentheses: in a second of the server’s processor time)',
    rows: [
      rate('push-blobs', 'Blobs of 4 kB, POST and PUT', times(1.3, 'zot')),
      rate('push-tags', '2,000 manifests by tag', times(5, 'zot'), times(2, 'distribution'))
    ]
  },
  {
    title: 'Images of 8 layers: 32 clients pull while 4 push',
    unit: 'images in a second of the clock (in parentheses: in a second of the server’s processor time)',
    rows: [rate('mix-pulls', 'Images pulled'), rate('mix-pushes', 'Images pushed')]
  },
  {
    title: 'Latency',
    unit: 'milliseconds',
    rows: [
      latency('one-client', 'GET manifest by tag, a single client: median', 'p50'),
      latency('one-client', 'GET manifest by tag, a single client: p99', 'p99'),
      latency('small-while-large', 'GET manifest while a large blob is pushed: median', 'p50'),
      latency('small-while-large', 'GET manifest while a large blob is pushed: p99', 'p99', times(1, 'zot')),
      latency('tags-after-push', '100 tags of very many, just after a push: median', 'p50'),
      latency('tags-after-push', '100 tags of very many, just after a push: p99', 'p99')
    ]
  },
  {
    title: 'Large blobs',
    unit: 'seconds (in parentheses: of the server’s processor time)',
    rows: [
      duration('large-push', 'Push of a large blob, on tmpfs', times(0.5, 'zot'), times(1.6, 'openssl')),
      duration('large-push-chunked', 'Push in chunks of 32 KiB, on tmpfs'),
      duration('large-push-4', 'Push of 4 at a time, on tmpfs'),
      duration('large-push-disk', 'Push of a large blob, on a disk', times(1.15, 'openssl', 'dd')),
      duration('large-pull', 'Pull of a large blob, on tmpfs', times(0.9, 'nginx')),
      duration('large-pull-4', 'Pull by 4 at a time, on tmpfs')
    ]
  },
  {
    title: 'Start',
    unit: 'seconds to the first answer',
    rows: [
      { work: 'start', title: 'Start on an empty folder', figure: 'seconds', targets: [atMost(0.5)] },
      { work: 'start-full', title: 'Start on a full folder', figure: 'seconds', targets: [atMost(0.5)] }
    ]
  },
  {
    title: 'Memory',
    unit: 'MiB resident: of all processes at rest, of the largest process at most (streams of 64 MiB)',
    rows: [
      { work: 'idle', title: 'Memory at rest after the start', figure: 'mebibytes', targets: [] },
      memory('streams', 'Memory at most, 18 pushes and 18 pulls at once', atMost(200)),
      memory('peak', 'Memory at most, in all that is measured here', atMost(200))
    ]
  }
]

/** What `npm run bench:s3` shows. A push may take two thirds of the other's time. */
export const s3Sections: readonly Section[] = [
  {
    title: '200 small images, 8 clients',
    unit: 'images in a second of the clock (in parentheses: in a second of the registry’s processor time)',
    rows: [
      rate('s3-small-push', 'Push: 3 blobs and a manifest by tag', times(1.5, 'distribution')),
      rate('s3-small-pull', 'Pull: a manifest by tag and 3 blobs', times(1, 'distribution'))
    ]
  },
  {
    title: 'A large blob',
    unit: 'seconds (in parentheses: of the registry’s processor time)',
    rows: [
      duration('s3-large-push', 'Push in one PUT', times(2 / 3, 'distribution')),
      duration('s3-large-push-chunked', 'Push by a PATCH in chunks of 32 KiB', times(2 / 3, 'distribution')),
      duration('s3-large-pull', 'Pull through the registry, 5 times', times(1, 'distribution')),
      duration('s3-redirect-pull', 'Pull from the bucket, by a redirect of the registry, 5 times')
    ]
  },
  { title: 'Memory', unit: 'MiB resident at most', rows: [memory('peak', 'In all that is measured here')] }
]
