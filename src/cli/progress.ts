/** How far a run is. */
export interface Progress {
  stage: string
  /** From 0 to 1. */
  part: number
  position: string
}

/** Shows how far a run is, to people on a terminal. */
export interface ProgressBar {
  /** Whether anybody sees it. */
  visible: boolean
  show(progress: Progress): void
  /** Writes a line where the bar does not write over it. */
  line(text: string): void
  end(): void
}

type Terminal = NodeJS.WritableStream & { isTTY?: boolean }

/** Draws on `terminal`, where it is one. Lines go to the output, and above the bar where that is on the terminal too. */
export async function createProgressBar(
  terminal: Terminal = process.stderr,
  out: Pick<Terminal, 'isTTY'> = process.stdout
): Promise<ProgressBar> {
  const write = (text: string): void => console.log(text)
  if (!terminal.isTTY) return { visible: false, show: () => {}, line: write, end: () => {} }
  const { MultiBar } = (await import('cli-progress')).default
  const bars = new MultiBar({
    format: '{stage} {bar} {percentage} %  {position}',
    stream: terminal,
    barsize: 24,
    autopadding: true,
    clearOnComplete: true,
    hideCursor: true,
    // A bar that is drawn while nothing happens says that the run has not died.
    fps: 4
  })
  const bar = bars.create(100, 0, { stage: 'repositories', position: '' })
  return {
    visible: true,
    show: ({ stage, part, position }) => bar.update(Math.floor(part * 100), { stage, position: position.slice(0, 40) }),
    line(text) {
      if (!out.isTTY) return write(text)
      bars.log(`${text}\n`)
      bars.update() // what waits for the next turn would be lost at the end
    },
    end: () => bars.stop()
  }
}
