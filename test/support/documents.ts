import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { top } from './program.ts'

/** A fenced block of a document, and the heading that it stands below. */
export interface Block {
  language: string
  heading: string
  body: string
}

export const isCommands = ({ language }: Block): boolean => language === 'sh' || language === 'console'

/** All fenced blocks of a document, in their order. */
export function blocksIn(document: string): Block[] {
  const text = readFileSync(join(top, document), 'utf8')
  // A comment of a shell looks like a heading, so that a fence is taken whole before headings are looked for.
  const parts = text.matchAll(/^```(?<language>\w*)\n(?<body>.*?)^```$|^#+ (?<title>[^\n]+)$/gms)
  let heading = ''
  const blocks: Block[] = []
  for (const { groups = {} } of parts) {
    if (groups.title === undefined) blocks.push({ language: groups.language!, heading, body: groups.body! })
    else heading = groups.title
  }
  return blocks
}

/**
 * The blocks of a document that a test runs as they are written, all or those below one heading. The test says how many of
 * them hold commands: one that it does not know fails it. test/documents.test.ts finds these calls, so write them out.
 */
export function blocksToRun(document: string, commands: number, heading?: string): Block[] {
  const blocks = blocksIn(document).filter(block => heading === undefined || block.heading === heading)
  assert.equal(blocks.filter(isCommands).length, commands, `blocks with commands in ${document}, ${heading ?? 'all'}`)
  return blocks
}

/** Each text must be there: a test that replaces nothing would test another file than the one that people read. */
export function replaced(text: string, replacements: Record<string, string>): string {
  return Object.entries(replacements).reduce((all, [from, to]) => {
    assert.ok(all.includes(from), `there is no ${JSON.stringify(from)} to replace`)
    return all.replaceAll(from, () => to)
  }, text)
}

/** The code within the text of a document, all or what stands below one heading. */
export function codeInText(document: string, heading?: string): string[] {
  const text = readFileSync(join(top, document), 'utf8').replace(/^```.*?^```$/gms, '')
  const sections = text.split(/^#+ /m)
  const section = heading === undefined ? text : sections.find(section => section.startsWith(`${heading}\n`))
  return [...(section ?? '').matchAll(/`([^`]+)`/g)].map(([, code = '']) => code.replace(/\s+/g, ' '))
}
