import { matcherOf } from '../registry/patterns.ts'

/** What an issuer says of somebody, each claim as the texts that it has. */
export type Claims = Readonly<Record<string, readonly string[]>>

/** Patterns, or lists of them, by the name of their claim: one of each has to match. */
export type ClaimPatterns = Readonly<Record<string, string | readonly string[]>>

/** Deeper claims are of no use, and no issuer has them. */
const DEEPEST = 4

/**
 * The claims of a token as texts: of a list its entries, of an object its parts, by names with slashes between
 * (`kubernetes.io/serviceaccount/name`).
 */
export function claimsOf(payload: Readonly<Record<string, unknown>>): Claims {
  const found: Record<string, string[]> = Object.create(null)
  const add = (name: string, value: unknown, depth: number): void => {
    if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') {
      found[name] = [...(found[name] ?? []), String(value)]
    } else if (Array.isArray(value)) {
      for (const item of value) if (typeof item !== 'object') add(name, item, depth)
    } else if (typeof value === 'object' && value !== null && depth < DEEPEST) {
      for (const [part, item] of Object.entries(value)) add(`${name}/${part}`, item, depth + 1)
    }
  }
  for (const [name, value] of Object.entries(payload)) add(name, value, 1)
  return found
}

/** Tells of claims whether each pattern is met by a text of its claim: `*` is any text without a slash, `**` any text. */
export function claimsMatcherOf(patterns: ClaimPatterns): (claims: Claims) => boolean {
  const matchers = Object.entries(patterns).map(([name, wanted]) => ({ name, any: [wanted].flat().map(matcherOf) }))
  return claims => matchers.every(({ name, any }) => claims[name]?.some(text => any.some(matches => matches(text))))
}

const PLACE = /\{([^{}]+)\}/g

/** Texts that one template may stand for. Groups of real issuers are some hundreds at most. */
const MOST_TEXTS = 1000

/**
 * What a template such as `repo:{repository}` stands for: as many texts as the claims in it have values together; none
 * where one is not there, or where there would be more than 1,000.
 */
export function expandTemplate(template: string, claims: Claims): string[] {
  const places = template.match(PLACE) ?? []
  const texts = places.reduce((product, place) => product * (claims[place.slice(1, -1)]?.length ?? 0), 1)
  return texts > MOST_TEXTS ? [] : expand(template, claims)
}

function expand(template: string, claims: Claims): string[] {
  const [place] = template.match(PLACE) ?? []
  if (place === undefined) return [template]
  const [before, after] = [
    template.slice(0, template.indexOf(place)),
    template.slice(template.indexOf(place) + place.length)
  ]
  const values = claims[place.slice(1, -1)] ?? []
  return values.flatMap(value => expand(after, claims).map(rest => before + value + rest))
}

/** The names that issuers give have a colon, and those of the password file and its groups have none. */
export const isIssuedGroup = (name: string): boolean => name.includes(':')
