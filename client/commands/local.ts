/** `synod dev` and `synod demo`: the programs of demo/, with their own options. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import type { Command } from "commander";
import { FoundWrong } from "./failure.ts";

const PROGRAMS = {
  dev: {
    file: "dev.js",
    description: "keep a local cluster running, with real Postgres servers, until Ctrl-C",
  },
  demo: {
    file: "transfers.js",
    description: "move money between databases while the leader is killed, and balance the books",
  },
} as const;

export function addLocalCommands(program: Command): void {
  for (const [name, { file, description }] of Object.entries(PROGRAMS)) {
    program
      .command(name)
      .description(`${description} (options: synod ${name} --help)`)
      .helpOption(false)
      .allowUnknownOption()
      .allowExcessArguments()
      .action(async (_, command: Command) => {
        const { json } = command.optsWithGlobals<{ readonly json?: boolean }>();
        process.exitCode = await run(file, [...command.args, ...(json === true ? ["--json"] : [])]);
      });
  }
}

/** With our own terminal; resolves with its exit code. */
async function run(file: string, args: readonly string[]): Promise<number> {
  const program = join(import.meta.dirname, "..", "..", "demo", file);
  if (!existsSync(program)) {
    throw new FoundWrong(`${program} is missing`, "build it first: npm run build");
  }
  const child = spawn(process.execPath, [program, ...args], { stdio: "inherit" });
  // A terminal sends Ctrl-C to the child as well; what is sent to us alone is passed on.
  const passOn = (signal: NodeJS.Signals): void => {
    child.kill(signal);
  };
  const ignore = (): void => undefined;
  process.on("SIGTERM", passOn);
  process.on("SIGINT", ignore);
  const [code, signal] = (await once(child, "exit")) as [number | null, NodeJS.Signals | null];
  process.off("SIGTERM", passOn);
  process.off("SIGINT", ignore);
  return code ?? 128 + (signal === null ? 0 : constants.signals[signal]);
}
