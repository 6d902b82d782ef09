/**
 * Whether `If-None-Match` says that the client has this representation already, so that GET and HEAD answer 304
 * (RFC 9110 section 13.1.2: weak comparison). A tag without its quotes is taken too, as some clients send a bare digest.
 *
 * @param etag the representation's own, with its quotes
 */
export function notModified(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false
  if (ifNoneMatch.trim() === '*') return true
  const wanted = opaqueTag(etag)
  return (ifNoneMatch.match(/(?:W\/)?(?:"[^"]*"|[^\s,"]+)/g) ?? []).some(tag => opaqueTag(tag) === wanted)
}

/**
 * Whether a `Range` beside this `If-Range` applies (RFC 9110 section 13.1.5: strong comparison). A date never does:
 * content here has no modification time.
 *
 * @param etag the representation's own, with its quotes
 */
export function rangeApplies(ifRange: string | undefined, etag: string): boolean {
  return ifRange === undefined || (ifRange.trim() === etag && !etag.startsWith('W/'))
}

function opaqueTag(tag: string): string {
  const strong = tag.startsWith('W/') ? tag.slice(2) : tag
  return strong.startsWith('"') ? strong.slice(1, -1) : strong
}
