import type { Round } from './round.ts'

/** Frees what idle upload sessions hold, and forgets what is only kept for a while: how sessions ended, claims on tags. */
export async function collectSessions({ storage, registry, graceMs, expiryMs, report }: Round): Promise<void> {
  let bytes = 0
  for await (const { id, ageMs } of storage.listUploads()) {
    if (ageMs > expiryMs) bytes += (await storage.upload(id))?.size ?? 0
  }
  report.sessions += await registry.uploads.expire()
  report.bytes += bytes
  await registry.tags.forgetClaims(graceMs)
}
