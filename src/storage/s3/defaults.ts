const MIB = 1024 * 1024

/** What holds for an embedder who says nothing else; the same as of the variables in docs/configuration.md. */
export const S3_DEFAULTS = {
  maxSockets: 256,
  partSize: 8 * MIB,
  partGrowth: true,
  bufferMemory: 64 * MIB
} as const
