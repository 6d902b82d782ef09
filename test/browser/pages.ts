import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { extname, join, normalize } from 'node:path'
import type { Locator, Page } from 'playwright-core'

/** What the checks do in a page that shows a registry. */
export interface Pages {
  /** The pages' origin, which is not the registry's. */
  readonly origin: string
  /**
   * Opens the page.
   * @param secured whether its scripts send credentials from the first request on, or after a 401
   */
  open(page: Page, registry: string, secured: boolean): Promise<void>
  /** What the page shows of a repository; it opens by a click. */
  repository(page: Page, repository: string): Locator
  /** Waits until the page shows the tag, and deletes what it names. */
  deleteTag(page: Page, tag: string): Promise<void>
}

const TYPES: Record<string, string> = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css' }

/**
 * Serves pages on an origin of their own.
 * @param ui the folder of a built docker-registry-ui; undefined: a page of this folder that logs in as that does
 */
export async function servePages(ui: string | undefined): Promise<Pages> {
  const folder = ui ?? import.meta.dirname
  let settings: Record<string, string> = {}
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://pages')
    const file = pathname === '/' ? (ui === undefined ? 'page.html' : 'index.html') : normalize(pathname)
    const bytes = await readFile(join(folder, file)).catch(() => undefined)
    response.writeHead(bytes ? 200 : 404, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream' })
    response.end(extname(file) === '.html' ? filled(bytes?.toString() ?? '', settings) : bytes)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  server.unref()
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    origin,
    async open(page, registry, secured) {
      settings = { REGISTRY_URL: registry, REGISTRY_SECURED: String(secured), ...(ui === undefined ? {} : UI_SETTINGS) }
      await page.goto(origin)
    },
    ...(ui === undefined ? ownPage : registryUi)
  }
}

/** It shows one registry, deletes, and does not ask for its newest version. */
const UI_SETTINGS = { SINGLE_REGISTRY: 'true', DELETE_IMAGES: 'true', ENABLE_VERSION_NOTIFICATION: 'false' }

/** The form of docker-registry-ui's own page; what is not set is left empty, as its container does. */
function filled(text: string, settings: Record<string, string>): string {
  return text.replace(/\$\{([A-Z_]+)\}/g, (_, name: string) => settings[name] ?? '')
}

type Steps = Pick<Pages, 'repository' | 'deleteTag'>

const ownPage: Steps = {
  repository: (page, repository) => page.getByRole('button', { name: `Open ${repository}` }),
  async deleteTag(page, tag) {
    const button = page.getByRole('button', { name: `Delete ${tag}`, exact: true })
    await button.click()
    await button.waitFor({ state: 'detached' })
  }
}

const registryUi: Steps = {
  repository: (page, repository) => page.locator(`a[href$="/taglist/${repository}"] #waves`),
  async deleteTag(page, tag) {
    const row = page.locator('tag-table tr').filter({ hasText: tag })
    await row.locator('remove-image button').click()
    await page.locator('confirm-delete-image').getByRole('button', { name: 'Delete' }).click()
    await row.waitFor({ state: 'detached' })
  }
}
