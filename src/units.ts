const SIZES = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'] as const
const DURATIONS: [string, number][] = [
  ['d', 24 * 3600e3],
  ['h', 3600e3],
  ['min', 60e3],
  ['s', 1e3]
]

/** `1536` as `1.5 KiB`. */
export function bytesText(bytes: number): string {
  const power = Math.min(bytes < 1024 ? 0 : Math.floor(Math.log2(bytes) / 10), SIZES.length - 1)
  return `${power === 0 ? bytes : (bytes / 1024 ** power).toFixed(1)} ${SIZES[power]}`
}

/** Milliseconds in the unit that suits them: `90_000` as `1.5 min`. */
export function durationText(ms: number): string {
  const [unit, length] = DURATIONS.find(([, length]) => ms >= length) ?? ['ms', 1]
  return `${unit === 'ms' ? Math.round(ms) : (ms / length).toFixed(1)} ${unit}`
}
