import type { Command } from 'commander'
import { RegistryError } from '../registry/errors.ts'
import { parseRepository } from '../registry/names.ts'
import { CommandError, withStore } from './store.ts'

/** `repository delete`: a repository goes whole. */
export function addRepository(program: Command, env = process.env): void {
  program
    .command('repository')
    .description('work on a whole repository')
    .command('delete')
    .description('delete all tags, manifests and blobs of a repository; a collection frees their space later')
    .argument('<name>')
    .action((name: string) => remove(env, name))
}

async function remove(env: NodeJS.ProcessEnv, name: string): Promise<void> {
  const unknown = new CommandError(`there is no repository ${JSON.stringify(name)}`)
  await withStore(env, async ({ collector }) => {
    try {
      const { manifests, links } = await collector.remove(parseRepository(name))
      console.log(`${name} is deleted: ${manifests} manifests, ${links} links to blobs`)
    } catch (error) {
      if (error instanceof RegistryError) throw unknown
      throw error
    }
  })
}
