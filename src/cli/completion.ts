import { Argument, type Command } from 'commander'

const SHELLS = ['bash', 'zsh', 'fish'] as const
type Shell = (typeof SHELLS)[number]

/** `completion`: a script with which a shell completes commands and options. */
export function addCompletion(program: Command): void {
  program
    .command('completion')
    .description('print a script that completes commands and options in a shell')
    .addArgument(new Argument('<shell>').choices(SHELLS))
    .action((shell: Shell) => console.log(completionScript(program, shell)))
}

export function completionScript(program: Command, shell: Shell): string {
  const nodes = nodesOf(program)
  const scripts = { bash: bashScript, zsh: zshScript, fish: fishScript }
  return scripts[shell](program.name(), nodes)
}

/** A command, and what may follow it. */
interface Node {
  /** The words that lead to it: `config print`; '' is the program. */
  path: string
  commands: Word[]
  options: Word[]
}

interface Word {
  word: string
  description: string
}

function nodesOf(command: Command, path = ''): Node[] {
  const commands = command.commands.map(child => ({ word: child.name(), description: child.description() }))
  const options = command.options.flatMap(({ long, description }) => (long ? [{ word: long, description }] : []))
  const node = { path, commands, options: [...options, { word: '--help', description: 'display help for command' }] }
  return [node, ...command.commands.flatMap(child => nodesOf(child, `${path} ${child.name()}`.trim()))]
}

const wordsOf = ({ commands, options }: Node): Word[] => [...commands, ...options]
const quoted = (text: string): string => `'${text.replace(/'/g, "'\\''")}'`
const functionOf = (name: string): string => `_${name.replace(/\W/g, '_')}`

/** A `case` whose branches are the commands that words lead to. */
function walk(nodes: readonly Node[]): string {
  const deeper = nodes
    .filter(({ path }) => path !== '')
    .map(({ path }) => `"${path.includes(' ') ? path : ` ${path}`}"`)
  return `      ${deeper.join('|')}) at="\${at:+$at }$word" ;;`
}

function bashScript(name: string, nodes: readonly Node[]): string {
  const branches = nodes.map(
    node =>
      `    "${node.path}") words="${wordsOf(node)
        .map(({ word }) => word)
        .join(' ')}" ;;`
  )
  return `# To use it: source <(${name} completion bash)
${functionOf(name)}() {
  local word words="" at="" i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="\${COMP_WORDS[i]}"
    case "$at $word" in
${walk(nodes)}
    esac
  done
  case "$at" in
${branches.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F ${functionOf(name)} ${name}`
}

function zshScript(name: string, nodes: readonly Node[]): string {
  const branches = nodes.map(node => {
    const items = wordsOf(node).map(({ word, description }) => quoted(`${word}:${description}`))
    return `    "${node.path}") items=(${items.join(' ')}) ;;`
  })
  return `#compdef ${name}
# To use it: source <(${name} completion zsh), after compinit
${functionOf(name)}() {
  local word at="" i
  local -a items
  for ((i = 2; i < CURRENT; i++)); do
    word="\${words[i]}"
    case "$at $word" in
${walk(nodes)}
    esac
  done
  case "$at" in
${branches.join('\n')}
  esac
  _describe 'command or option' items || _files
}
compdef ${functionOf(name)} ${name}`
}

function fishScript(name: string, nodes: readonly Node[]): string {
  const lines = nodes.flatMap(node => {
    const seen = node.path.split(' ').filter(Boolean)
    const children = node.commands.map(({ word }) => word)
    const isHere = [
      ...seen.map(word => `__fish_seen_subcommand_from ${word}`),
      ...(children.length > 0 ? [`not __fish_seen_subcommand_from ${children.join(' ')}`] : [])
    ].join('; and ')
    const where = isHere === '' ? '' : ` -n ${quoted(isHere)}`
    return [
      ...node.commands.map(
        ({ word, description }) => `complete -c ${name} -f${where} -a ${word} -d ${quoted(description)}`
      ),
      ...node.options.map(
        ({ word, description }) => `complete -c ${name}${where} -l ${word.slice(2)} -d ${quoted(description)}`
      )
    ]
  })
  return [`# To use it: ${name} completion fish | source`, ...lines].join('\n')
}
