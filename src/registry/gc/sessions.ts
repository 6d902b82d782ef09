import type { Round } from './round.ts'

/** Frees what idle upload sessions hold, and forgets how sessions ended that no valid name leads to. */
export async function collectSessions({ storage, registry, expiryMs, report }: Round): Promise<void> {
  let bytes = 0
  for await (const { id, ageMs } of storage.listUploads()) {
    if (ageMs > expiryMs) bytes += (await storage.upload(id))?.size ?? 0
  }
  report.sessions += await registry.uploads.expire()
  report.bytes += bytes
}
