#!/usr/bin/env node
/** The command line `synod`. Data goes to standard output, talk to standard error; exit codes: commands/failure.ts. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Command, CommanderError } from "commander";
import { assert } from "../shared/model/assert.ts";
import { addCertificateCommands } from "./commands/certificates.ts";
import { addClusterCommands } from "./commands/cluster.ts";
import { addCompletionCommand } from "./commands/completion.ts";
import { actIn } from "./commands/context.ts";
import { describeFailure, EXIT } from "./commands/failure.ts";
import { examples } from "./commands/help.ts";
import { addInteractiveCommands } from "./commands/interactive.ts";
import { addLocalCommands } from "./commands/local.ts";
import { Output } from "./commands/output.ts";
import { wholeNumber } from "./commands/parsing.ts";
import { addReadCommand } from "./commands/reads.ts";
import { addInDoubtCommands, addTransactionCommands } from "./commands/transactions.ts";

const DEFAULT_DEADLINE_MS = 30_000;
const MAX_DEADLINE_MS = 86_400_000;

async function main(): Promise<void> {
  const output = new Output({ out: process.stdout, err: process.stderr }, process.env);
  const interrupted = new AbortController();
  process.once("SIGINT", () => {
    interrupted.abort(new Error("interrupted"));
  });
  // Who reads us may have read enough: `synod tx list | head`.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    process.exit(0);
  });
  const program = createProgram(output, interrupted.signal);
  try {
    await program.parseAsync();
  } catch (error) {
    process.exitCode = tell(
      error,
      output,
      program.opts<{ readonly json?: boolean }>().json === true,
    );
  }
}

function createProgram(output: Output, signal: AbortSignal): Command {
  const program = new Command("synod")
    .description("Atomic transactions over several PostgreSQL databases, from the command line.")
    .version(version())
    .option("--endpoints <urls>", "coordinators, with commas between (SYNOD_ENDPOINTS)")
    .option("--token-file <file>", "a file with a bearer token (SYNOD_TOKEN_FILE)")
    .option("--ca <file>", "the authority of the coordinators' certificates (SYNOD_TLS_CA)")
    .option("--json", "print JSON, for programs")
    .option(
      "--deadline <ms>",
      "how long a command may ask and ask again",
      wholeNumber(1, MAX_DEADLINE_MS),
      DEFAULT_DEADLINE_MS,
    )
    .configureHelp({ showGlobalOptions: true })
    .exitOverride()
    .showHelpAfterError("(see what there is: add --help)")
    .addHelpText(
      "after",
      examples("synod dev", "synod status", "synod tx run --op 's1=select 1 as one'") +
        "\n\nExit codes: 0 done, 1 error, 2 usage, 3 aborted, 4 outcome unknown, 5 unreachable or no quorum, 6 denied",
    );
  const act = actIn({ output, env: process.env, signal });
  addClusterCommands(program, act);
  const tx = program.command("tx").description("transactions");
  addTransactionCommands(tx, act);
  addInteractiveCommands(tx, act);
  addReadCommand(program, act);
  addInDoubtCommands(program, act);
  addLocalCommands(program);
  addCertificateCommands(program, output);
  addCompletionCommand(program, output);
  return program;
}

/** Of the package: one directory up from the source, two from what is built. */
function version(): string {
  const files = ["..", "../.."].map((up) => join(import.meta.dirname, up, "package.json"));
  const manifest = files.find((file) => existsSync(file));
  assert(manifest !== undefined, "the command line lies in its package");
  return (JSON.parse(readFileSync(manifest, "utf8")) as { readonly version: string }).version;
}

/** Commander has told its own errors already. */
function tell(error: unknown, output: Output, json: boolean): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT.usage;
  const { exitCode, message, next, facts } = describeFailure(error);
  if (json) {
    output.talk(JSON.stringify({ error: { message, next, exitCode, ...facts } }));
    return exitCode;
  }
  output.talk(`${output.paintTalk("red", "error:")} ${message}`);
  if (next !== undefined) output.talk(`${output.paintTalk("dim", "next:")}  ${next}`);
  return exitCode;
}

await main();
