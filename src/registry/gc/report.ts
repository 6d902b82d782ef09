/** What one collection came to. With a store that takes no writes it tells what would go. */
export interface Report {
  /** Repositories looked at. */
  repositories: number
  /** Manifests that nothing kept. */
  manifests: number
  /** Links to blobs that no manifest of their repository names, or that newer links stand for. */
  links: number
  /** What else was over: surplus records, tags and referrers without a manifest, values without a tag, empty catalog entries. */
  leftovers: number
  contents: number
  /** Upload sessions that were idle for too long. */
  sessions: number
  /** Bytes of contents and sessions. */
  bytes: number
  durationMs: number
  /** Repositories that could not be looked at and were left as they are. */
  problems: { repository: string; message: string }[]
}

export const emptyReport = (): Report => ({
  repositories: 0,
  manifests: 0,
  links: 0,
  leftovers: 0,
  contents: 0,
  sessions: 0,
  bytes: 0,
  durationMs: 0,
  problems: []
})
