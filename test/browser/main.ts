/** Pages in a real browser before a real registry: a registry's UI on another origin, and the registry's own page. */
import assert from 'node:assert/strict'
import { mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type Browser, chromium, type Page } from 'playwright-core'
import { withScratch } from '../reliability/scratch.ts'
import { startServer } from '../reliability/server-process.ts'
import { htpasswdOf, passwordOf } from '../support/callers.ts'
import { pushImage, REPOSITORY, statusOf } from './image.ts'
import { servePages } from './pages.ts'

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync'
]
/** How long a page may take for one step on a busy machine. */
const STEP_MS = 20_000
const CREDENTIALS_REFUSED = /Access-Control-Allow-Credentials/

const { values } = parseArgs({ options: { ui: { type: 'string' } } })
const executablePath = '/usr/bin/chromium'

await withScratch(10, async (checks, { folder, log }) => {
  const pages = await servePages(values.ui)
  const browser = await chromium.launch({ executablePath, headless: true, args: FLAGS })
  const htpasswd = join(folder, 'users')
  await writeFile(htpasswd, await htpasswdOf('alice'))

  /** A registry with one image, which lets no stranger in. */
  const openRegistry = async (settings: Record<string, string>) => {
    const env = { AUTH_HTPASSWD_FILE: htpasswd, CORS_ALLOW_ORIGIN: pages.origin, LOG_LEVEL: 'info', ...settings }
    const server = await startServer({ storage: await mkdtemp(join(folder, 'registry-')), log, env })
    await pushImage(server.url, 'v1')
    await pushImage(server.url, 'v2')
    return server
  }

  for (const [name, settings] of [
    ['passwords', { AUTH_TOKEN_ISSUER: 'none' }],
    ['tokens of its own', { AUTH_TOKEN_ISSUER: 'self' }]
  ] as const) {
    for (const secured of [true, false]) {
      const when = secured ? 'sends its login at once' : 'sends its login when asked'
      await checks.check(`15.34: ${name}: a page that ${when} lists and deletes`, async () => {
        const server = await openRegistry({ ...settings, CORS_ALLOW_CREDENTIALS: 'true' })
        await inPage(browser, async (page, said) => {
          await pages.open(page, server.url, secured)
          await pages.repository(page, REPOSITORY).click()
          await pages.deleteTag(page, 'v1')
          assert.deepEqual(
            [await statusOf(server.url, 'v1'), await statusOf(server.url, 'v2')],
            [404, 200],
            `the browser said:\n${said().join('\n')}`
          )
        })
        await server.stop()
        assert.match(await readFile(log, 'utf8'), /"method":"OPTIONS"/, 'the browser asks before it deletes')
        return undefined
      })
    }
    await checks.check(
      `15.34: ${name}: without CORS_ALLOW_CREDENTIALS the browser lets the page read nothing`,
      async () => {
        const server = await openRegistry(settings)
        await inPage(browser, async (page, said) => {
          const refused = page.waitForEvent('console', message => CREDENTIALS_REFUSED.test(message.text()))
          await pages.open(page, server.url, false)
          await refused
          assert.equal(await pages.repository(page, REPOSITORY).count(), 0, said().join('\n'))
        })
        await server.stop()
        return undefined
      }
    )
  }
  await checks.check('the page of the OpenAPI document shows its operations under its own policy', async () => {
    const server = await startServer({ storage: await mkdtemp(join(folder, 'registry-')), log })
    await inPage(browser, async (page, said) => {
      await page.goto(`${server.url}/openapi`)
      await page.getByText('/v2/_catalog').first().waitFor()
      assert.deepEqual(said(), [])
    })
    await server.stop()
    return undefined
  })
  await browser.close()
})

/** Opens a page whose browser knows what to answer when it is asked for a password, and gives it what is on the console. */
async function inPage(browser: Browser, use: (page: Page, said: () => string[]) => Promise<void>): Promise<void> {
  const context = await browser.newContext({ httpCredentials: { username: 'alice', password: passwordOf('alice') } })
  context.setDefaultTimeout(STEP_MS)
  const page = await context.newPage()
  const said: string[] = []
  page.on('console', message => message.type() === 'error' && said.push(message.text()))
  page.on('pageerror', error => said.push(error.message))
  try {
    await use(page, () => said)
  } catch (error) {
    const shown = await page.locator('body').textContent()
    throw new Error(`${error instanceof Error ? error.message : error}\nconsole: ${said.join('\n')}\npage: ${shown}`)
  } finally {
    await context.close()
  }
}
