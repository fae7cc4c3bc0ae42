/** `synod completion`: a script for the shell, made from the commands themselves. */
import { Argument, type Command } from "commander";
import type { Output } from "./output.ts";
import { examples } from "./help.ts";

const SHELLS = ["bash", "zsh", "fish"] as const;

export function addCompletionCommand(program: Command, output: Output): void {
  program
    .command("completion")
    .description("print a completion script for a shell")
    .addArgument(new Argument("<shell>").choices(SHELLS))
    .addHelpText(
      "after",
      examples("source <(synod completion bash)", "synod completion fish | source"),
    )
    .action((shell: (typeof SHELLS)[number]) => {
      output.line(scriptFor(shell, wordsOf(program)));
    });
}

/** What may follow each path of commands; the empty path is `synod` itself. */
function wordsOf(command: Command, path = ""): ReadonlyMap<string, readonly string[]> {
  const help = command.createHelp();
  const commands = help.visibleCommands(command).filter((inner) => inner.name() !== "help");
  const options = [...help.visibleOptions(command), ...help.visibleGlobalOptions(command)];
  const words = new Map<string, readonly string[]>([
    [
      path,
      [...commands.map((inner) => inner.name()), ...options.flatMap(({ long }) => long ?? [])],
    ],
  ]);
  for (const inner of commands) {
    for (const [at, following] of wordsOf(inner, `${path} ${inner.name()}`.trim())) {
      words.set(at, following);
    }
  }
  return words;
}

function scriptFor(
  shell: (typeof SHELLS)[number],
  words: ReadonlyMap<string, readonly string[]>,
): string {
  switch (shell) {
    case "bash":
      return bash(words);
    case "zsh":
      return `autoload -U +X bashcompinit && bashcompinit\n${bash(words)}`;
    case "fish":
      return fish(words);
  }
}

function bash(words: ReadonlyMap<string, readonly string[]>): string {
  const cases = [...words].map(([path, following]) => {
    return `    "${path}") words="${following.join(" ")}" ;;`;
  });
  return `_synod() {
  local path="" words="" word
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$word" in -*) [ -n "$path" ] && break || continue ;; esac
    path="\${path:+$path }$word"
  done
  while :; do
    case "$path" in
${cases.join("\n")}
    esac
    if [ -n "$words" ] || [ -z "$path" ]; then break; fi
    case "$path" in *" "*) path="\${path% *}" ;; *) path="" ;; esac
  done
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _synod synod`;
}

function fish(words: ReadonlyMap<string, readonly string[]>): string {
  const lines = [...words].flatMap(([path, following]) => {
    const names = path === "" ? [] : path.split(" ");
    const seen = names.map((name) => `__fish_seen_subcommand_from ${name}`).join("; and ");
    const condition = path === "" ? "__fish_use_subcommand" : seen;
    return following.map((word) => {
      const what = word.startsWith("--") ? `-l ${word.slice(2)}` : `-f -a ${word}`;
      return `complete -c synod -n '${condition}' ${what}`;
    });
  });
  return lines.join("\n");
}
