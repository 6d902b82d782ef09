import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { availableParallelism } from 'node:os'
import { type StaticDecode, type TSchema, type TString, type TTransform, Type } from '@sinclair/typebox'
import { REPOSITORY_PATTERN } from '../registry/patterns.ts'
import type { QuotaRule } from '../registry/quota.ts'
import { unreadable } from './files.ts'

/** Describes a variable, besides how its text is read. `default` is text, as a user would write it. */
export interface About<Setting extends string = string> {
  default: string
  /** The property of the settings that holds its value. Without it, the section's own reader reads the variable. */
  setting?: Setting
  /** One sentence for the table in docs/configuration.md. */
  description: string
  /** What holds where there is no default and nothing is set, in Markdown for the table. */
  unset?: string
  /** An older or common name that is read as well. */
  alias?: string
  /** Names of other programs that are read, in this order, where ours is not set. */
  fallbacks?: readonly string[]
  /** Its value is shown nowhere. */
  secret?: boolean
}

/**
 * A variable is text in the environment and a `T` in the program; `allowed` tells in words what it takes.
 * Decoding throws on anything else.
 */
export type Variable<T, Setting extends string = string> = TTransform<TString, T> & About<Setting> & { allowed: string }

/** Why text of the right form can't be used all the same: a file that can't be read. */
export class Unusable extends Error {}

function variable<T extends string | number | boolean | object, S extends string>(
  about: About<S>,
  allowed: string,
  read: (text: string) => T | undefined
): Variable<T, S> {
  const schema = Type.Transform(Type.String())
    .Decode(text => {
      const value = read(text)
      if (value === undefined) throw new TypeError(allowed)
      return value
    })
    .Encode(String)
  return { ...schema, ...about, allowed }
}

/** A variable that may be left out: its `default` is '' and it is `undefined` then. */
export type Optional<T, Setting extends string = string> = Variable<T, Setting> & { optional: true }

export function optional<T, const S extends string>(variable: Variable<T, S>): Optional<T, S> {
  return { ...variable, optional: true }
}

type Described = Readonly<Record<string, TSchema & About>>
type SettingOf<V> = V extends About<infer Setting> ? (string extends Setting ? never : Setting) : never
type OptionalNames<V extends Described> = { [N in keyof V]: V[N] extends { optional: true } ? N : never }[keyof V]

/** The settings that variables are read to: one property for each variable that names a `setting`. */
export type Settings<V extends Described> = {
  [N in Exclude<keyof V, OptionalNames<V>> as SettingOf<V[N]>]: StaticDecode<V[N]>
} & {
  [N in OptionalNames<V> as SettingOf<V[N]>]?: StaticDecode<V[N]> | undefined
}

/** Text of this form; empty text never gets here, since it counts as not set. */
export function text<const S extends string = never>(
  about: About<S>,
  allowed: string,
  form: { test(text: string): boolean } = /^/
): Variable<string, S> {
  return variable(about, allowed, text => (form.test(text) ? text : undefined))
}

/** Items of this form, joined by commas; none where it is not set. */
export function list<const S extends string = never>(
  about: About<S>,
  allowed: string,
  form: RegExp
): Variable<string[], S> {
  return variable<string[], S>(about, allowed, text => {
    if (text === '') return []
    const items = text.split(',').map(item => item.trim())
    return items.every(item => form.test(item)) ? items : undefined
  })
}

export function choice<const T extends string, const S extends string = never>(
  about: About<S>,
  words: readonly T[]
): Variable<T, S> {
  const allowed = words.map(word => `\`${word}\``).join(', ')
  return variable(about, allowed, text => words.find(word => word.toLowerCase() === text.toLowerCase()))
}

export function wholeNumber<const S extends string = never>(
  about: About<S>,
  min: number,
  max: number
): Variable<number, S> {
  return variable(about, `a whole number from ${min} to ${max}`, text => within(readDigits(text), min, max))
}

export function boolean<const S extends string = never>(about: About<S>): Variable<boolean, S> {
  return variable(about, '`true` or `false` (also `1`/`0`, `yes`/`no`, `on`/`off`)', readBoolean)
}

const SIZES: Readonly<Record<string, number>> = { '': 1, kib: 2 ** 10, mib: 2 ** 20, gib: 2 ** 30 }

const QUOTAS: Readonly<Record<string, number>> = { ...SIZES, tib: 2 ** 40 }

/** Sizes by pattern of repositories: `team/*=10GiB,**=1TiB`; none where it is not set. */
export function quotas<const S extends string = never>(about: About<S>): Variable<QuotaRule[], S> {
  const allowed =
    'patterns of repositories, each with `=` and bytes or a number with `KiB`, `MiB`, `GiB` or `TiB`, joined by commas'
  return variable<QuotaRule[], S>(about, allowed, text => {
    if (text === '') return []
    const rules = text.split(',').flatMap(item => {
      const [pattern = '', amount = '', ...more] = item.split('=').map(part => part.trim())
      const bytes = measured(amount, QUOTAS)
      return REPOSITORY_PATTERN.test(pattern) && bytes !== undefined && more.length === 0 ? [{ pattern, bytes }] : []
    })
    return rules.length === text.split(',').length ? rules : undefined
  })
}

/** A size, read to bytes. The bounds are written as a user would write them. */
export function size<const S extends string = never>(about: About<S>, min: string, max: string): Variable<number, S> {
  return measure(about, SIZES, min, max, 'bytes, or a number with `KiB`, `MiB` or `GiB`')
}

const DURATIONS: Readonly<Record<string, number>> = { s: 1e3, m: 60e3, h: 3600e3, d: 24 * 3600e3 }

/** A duration, read to milliseconds. The bounds are written as a user would write them. */
export function duration<const S extends string = never>(
  about: About<S>,
  min: string,
  max: string
): Variable<number, S> {
  return measure(about, DURATIONS, min, max, 'a number with `s`, `m`, `h` or `d`')
}

/** So many requests in so many ms. */
export interface Rate {
  requests: number
  perMs: number
}

/** A number of requests in a time: `600/1m`. */
export function rate<const S extends string = never>(about: About<S>): Variable<Rate, S> {
  return variable<Rate, S>(about, 'a number of requests, `/`, and from 1s to 1d: `600/1m`', text => {
    const [, number = '', time = ''] = /^(\d{1,9})\s*\/\s*(.+)$/.exec(text) ?? []
    const perMs = within(measured(time, DURATIONS), 1000, 24 * 3600e3)
    return Number(number) > 0 && perMs !== undefined ? { requests: Number(number), perMs } : undefined
  })
}

/** An address or name to listen on. */
export function host<const S extends string = never>(about: About<S>): Variable<string, S> {
  const name = /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/i
  return variable(about, 'an IP address or a host name, without port', text =>
    isIP(text) > 0 || name.test(text) ? text : undefined
  )
}

/**
 * A base URL without its trailing slash. What follows a path (query, fragment) could not be joined with one, and
 * credentials would be shown to every client.
 */
export function baseUrl<const S extends string = never>(about: About<S>): Variable<string, S> {
  return variable(
    about,
    'an absolute `http://` or `https://` URL; a path is fine; no credentials, `?` or `#`',
    text => {
      if (!/^https?:\/\/[^?#\\]+$/i.test(text) || !URL.canParse(text)) return undefined
      const url = new URL(text)
      return url.username || url.password ? undefined : (url.origin + url.pathname).replace(/\/+$/, '')
    }
  )
}

/** A private key's file, which is read when it is needed; that it holds one is looked at now. */
export function keyFile<const S extends string = never>(about: About<S>): Variable<string, S> {
  return variable(
    about,
    'a file that this process may read, with a private key in PEM form and no passphrase',
    path => {
      createPrivateKey(bytesOf(path))
      return path
    }
  )
}

/** A file that is read when it is needed; that it holds a certificate is looked at now. */
export function certificateFile<const S extends string = never>(about: About<S>): Variable<string, S> {
  return variable(about, 'a file that this process may read, with certificates in PEM form', path => {
    const text = bytesOf(path).toString('latin1')
    return text.includes('-----BEGIN CERTIFICATE-----') && new X509Certificate(text) ? path : undefined
  })
}

function bytesOf(path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (error) {
    throw new Unusable(unreadable(error), { cause: error })
  }
}

/** More than this many processes are one too many for any folder. */
const MOST_WORKERS = 64
const MOST_BY_THEMSELVES = 4

/** A number of processes, or `auto`. */
export function workers<const S extends string = never>(about: About<S>): Variable<number, S> {
  return variable(about, `\`auto\`, or a whole number from 1 to ${MOST_WORKERS}`, text =>
    text.toLowerCase() === 'auto'
      ? Math.min(availableParallelism(), MOST_BY_THEMSELVES)
      : within(readDigits(text), 1, MOST_WORKERS)
  )
}

/** Whose `X-Forwarded-*` headers count, in the form that Fastify's `trustProxy` takes. */
export type TrustProxy = boolean | string[]

export function trustProxy<const S extends string = never>(about: About<S>): Variable<TrustProxy, S> {
  return variable<TrustProxy, S>(
    about,
    '`false`, `true`, or addresses and networks (`10.0.0.0/8`, `loopback`) joined by commas',
    text => {
      // Not even 0 and 1: they would read as a number of hops, which proves nothing (a client that connects directly
      // can make up as many) and which Fastify therefore takes as `false`.
      if (readDigits(text) !== undefined) return undefined
      const list = text.split(',').map(item => item.trim())
      return readBoolean(text) ?? (list.every(isNetwork) ? list : undefined)
    }
  )
}

function measure<S extends string>(
  about: About<S>,
  units: Readonly<Record<string, number>>,
  min: string,
  max: string,
  form: string
): Variable<number, S> {
  const least = measured(min, units) ?? 0
  const most = measured(max, units) ?? 0
  return variable(about, `from ${min} to ${max}: ${form}`, text => within(measured(text, units), least, most))
}

function measured(text: string, units: Readonly<Record<string, number>>): number | undefined {
  if (/^0+$/.test(text)) return 0
  const [, number = '', unit = ''] = /^(\d{1,15})\s?([a-z]*)$/i.exec(text) ?? []
  const factor = units[unit.toLowerCase()]
  return number === '' || factor === undefined ? undefined : Number(number) * factor
}

function readDigits(text: string): number | undefined {
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined
}

function within(value: number | undefined, min: number, max: number): number | undefined {
  return value !== undefined && value >= min && value <= max ? value : undefined
}

function readBoolean(text: string): boolean | undefined {
  if (/^(true|1|yes|on)$/i.test(text)) return true
  if (/^(false|0|no|off)$/i.test(text)) return false
  return undefined
}

/** An address, a network, or one of the names that proxy-addr (inside Fastify) knows. */
function isNetwork(text: string): boolean {
  if (/^(loopback|linklocal|uniquelocal)$/.test(text)) return true
  const [address = '', prefix, ...rest] = text.split('/')
  const version = isIP(address)
  if (version === 0 || address.includes('%') || rest.length > 0) return false
  return prefix === undefined || within(readDigits(prefix), 1, version === 4 ? 32 : 128) !== undefined
}
