import type { StorageDriver } from '../storage/driver.ts'
import { parseRobotKey, ROBOTS, robotKey, robotUseKey, usesOfRobot } from './keys.ts'
import { parallel } from './parallel.ts'

/** A program that may use the registry with a token, and what it may do at most. */
export interface Robot {
  /** In lower case. */
  name: string
  /** Patterns. */
  repositories: string[]
  actions: ('pull' | 'push' | 'delete')[]
  /** ms since 1970. */
  created: number
  /** ms since 1970; undefined: never. */
  expires?: number | undefined
}

export interface ListedRobot extends Robot {
  /** The day of its last login, as `2026-11-25`; undefined: it had none. */
  lastUsed?: string | undefined
}

const NAME = /^(?=.{1,64}$)[a-z0-9]+(?:[._-][a-z0-9]+)*$/

/** Whether a robot may be called so. */
export const isRobotName = (name: string): boolean => NAME.test(name)

/** The robots' records, each under the hash of its token: the token itself is kept nowhere. */
export function createRobots(storage: StorageDriver) {
  /** The robot whose token has this hash; undefined: there is none. */
  async function find(hash: string): Promise<Robot | undefined> {
    const stored = await storage.get(robotKey(hash))
    return stored && (JSON.parse(stored.bytes.toString()) as Robot)
  }

  /** The hashes of all tokens. */
  async function tokenHashes(): Promise<Set<string>> {
    return new Set((await storage.list(ROBOTS)).map(entry => parseRobotKey(entry.key)))
  }

  /** All of them by their names, with the keys that they have. */
  async function all(): Promise<{ hash: string; robot: Robot }[]> {
    const robots = await parallel([...(await tokenHashes())], 16, async hash => ({ hash, robot: await find(hash) }))
    const there = robots.flatMap(({ hash, robot }) => (robot ? [{ hash, robot }] : []))
    return there.sort((a, b) => (a.robot.name < b.robot.name ? -1 : 1))
  }

  /** False: there is a robot of this name. (Of two that are made at the very same moment, both are.) */
  async function create(hash: string, robot: Robot): Promise<boolean> {
    if ((await all()).some(({ robot: { name } }) => name === robot.name)) return false
    return storage.put(robotKey(hash), Buffer.from(JSON.stringify(robot)), { ifAbsent: true })
  }

  async function list(): Promise<ListedRobot[]> {
    return parallel(await all(), 16, async ({ hash, robot }) => {
      const last = (await storage.list(usesOfRobot(hash))).at(-1)
      return { ...robot, lastUsed: last?.key.slice(usesOfRobot(hash).length) }
    })
  }

  /** False: there is no robot of this name. */
  async function revoke(name: string): Promise<boolean> {
    const hashes = (await all()).filter(({ robot }) => robot.name === name).map(({ hash }) => hash)
    await storage.delete(hashes.map(robotKey))
    for (const hash of hashes) await forgetUses(hash)
    return hashes.length > 0
  }

  /** Leaves word that a robot was here today. One key a day, which need not outlive a power cut. */
  async function noteUse(hash: string, day: string): Promise<void> {
    await storage.put(robotUseKey(hash, day), Buffer.alloc(0), { ifAbsent: true, durable: false })
    await forgetUses(hash, day)
  }

  /** Takes away the words that it left on other days than this one. */
  async function forgetUses(hash: string, kept?: string): Promise<void> {
    const keys = (await storage.list(usesOfRobot(hash))).map(entry => entry.key)
    const old = keys.filter(key => kept === undefined || key < robotUseKey(hash, kept))
    if (old.length > 0) await storage.delete(old, { durable: false })
  }

  return { find, tokenHashes, create, list, revoke, noteUse }
}

export type Robots = ReturnType<typeof createRobots>
