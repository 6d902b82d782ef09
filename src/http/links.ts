export interface LinkOptions {
  /** What clients reach the registry under, where a proxy hides it: `https://registry.example/team`. Makes links absolute. */
  externalUrl?: string | undefined
  /** The path that the API is mounted at, `/v2` at its end. */
  prefix: string
}

export type Links = ReturnType<typeof createLinks>

/**
 * Writes the URLs that answers carry. They are relative to the host, so that they hold behind any proxy, unless there is
 * an `externalUrl`. Each takes at its end the `X-Forwarded-Prefix` of a trusted proxy that strips a path prefix.
 */
export function createLinks({ externalUrl, prefix }: LinkOptions) {
  // What an embedder mounts the API under is theirs to put into externalUrl; `/v2` is the API's own (spec end-1).
  const absolute = externalUrl === undefined ? undefined : `${externalUrl.replace(/\/+$/, '')}/v2`
  const mounted = prefix.replace(/\/+$/, '')

  const to = (path: string, forwardedPrefix?: string): string =>
    (absolute ?? cleanPrefix(forwardedPrefix) + mounted) + escapePath(path)

  return {
    /** Whether links hold whatever address a client came to. */
    isAbsolute: absolute !== undefined,
    blob: (name: string, digest: string, forwardedPrefix?: string) => to(`/${name}/blobs/${digest}`, forwardedPrefix),
    manifest: (name: string, reference: string, forwardedPrefix?: string) =>
      to(`/${name}/manifests/${reference}`, forwardedPrefix),
    upload: (name: string, session: string, forwardedPrefix?: string) =>
      to(`/${name}/blobs/uploads/${session}`, forwardedPrefix),
    /** Where tokens are issued. It is always absolute: clients send passwords there. `origin` is where this request came to. */
    token: (origin: string, forwardedPrefix?: string) =>
      absolute === undefined ? `${origin}${to('/token', forwardedPrefix)}` : to('/token'),
    /**
     * The value of a `Link` header that leads to the next page (RFC 8288).
     *
     * @param path below the prefix and not escaped: `/library/nginx/tags/list`
     */
    next: (path: string, query: Readonly<Record<string, string | number | undefined>>, forwardedPrefix?: string) => {
      const pairs = Object.entries(query).flatMap(([key, value]): [string, string][] =>
        value === undefined ? [] : [[key, String(value)]]
      )
      return `<${to(path, forwardedPrefix)}?${new URLSearchParams(pairs)}>; rel="next"`
    }
  }
}

function escapePath(path: string): string {
  return path
    .split('/')
    .map(segment => encodeURIComponent(segment).replaceAll('%3A', ':'))
    .join('/')
}

/** Nothing but a plain path: with two slashes at its start it would name another host. */
function cleanPrefix(forwardedPrefix = ''): string {
  return /^(?:\/[\w.~%-]+)+\/?$/.test(forwardedPrefix) ? forwardedPrefix.replace(/\/$/, '') : ''
}
