/** The built command line, run to its end. */
import { execFile } from "node:child_process";
import { join } from "node:path";

export interface CommandRun {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

const PROGRAM = join(import.meta.dirname, "..", "..", "dist", "client", "cli.js");

/** With nothing in its environment but `env`, so that no setting of ours reaches it. */
export function runCommand(
  cwd: string,
  env: Readonly<Record<string, string>>,
  ...args: readonly string[]
): Promise<CommandRun> {
  const settings = { PATH: process.env["PATH"], ...env };
  return new Promise((resolve) => {
    execFile(process.execPath, [PROGRAM, ...args], { cwd, env: settings }, (error, out, err) => {
      resolve({ code: error === null ? 0 : Number(error.code), out, err });
    });
  });
}
