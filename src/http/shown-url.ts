import { pathOf } from './endpoints.ts'

/** Query parameters of the API, none of which is a secret. */
const SHOWN: ReadonlySet<string> = new Set(
  'account artifactType client_id digest digest-algorithm from last mount n offline_token scope service tag'.split(' ')
)

/** A request's path as a log or a trace may hold it: without credentials before a host. */
export const shownPath = (url: string): string => pathOf(url).replace(/^\/\/[^/@]*@/, '//…@')

/** A request's host as a log may hold it: some clients leave the credentials of a URL in it. */
export const shownHost = (host: string): string => host.replace(/^.*@/s, '…@')

/**
 * A request's URL as a log may hold it: without the credentials of an absolute URL, and with an ellipsis in place of query
 * parameters that are not the API's, because people put passwords there.
 */
export function shownUrl(url: string): string {
  const query = url.indexOf('?')
  if (query === -1) return shownPath(url)
  const pairs = url.slice(query + 1).split('&')
  const shown = pairs.map(pair => (SHOWN.has(pair.slice(0, Math.max(pair.indexOf('='), 0))) ? pair : '…'))
  return `${shownPath(url)}?${shown.join('&')}`
}
