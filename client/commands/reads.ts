/** `synod read`. */
import type { Command } from "commander";
import { LIMITS, ReadRequest } from "../../shared/model/api.ts";
import type { Act } from "./context.ts";
import { examples } from "./help.ts";
import { chosenOperations, takeOperations } from "./operations.ts";
import { wholeNumber } from "./parsing.ts";
import { showResults } from "./results.ts";

interface GivenOptions {
  readonly file?: string;
  readonly timeout?: number;
}

export function addReadCommand(program: Command, act: Act): void {
  const read = program
    .command("read")
    .description("read several shards: every transaction on all or on none");
  const operations = takeOperations(read);
  read
    .option("-f, --file <file>", "the request as JSON; - reads the standard input")
    .option(
      "--timeout <ms>",
      "what the server gives one attempt",
      wholeNumber(LIMITS.minTimeoutMs, LIMITS.maxTimeoutMs),
    )
    .addHelpText(
      "after",
      examples(
        "synod read --op 's1=select sum(balance) from accounts' --op 's2=select sum(balance) from accounts'",
        "synod read -f books.json --json",
      ),
    )
    .action(({ file, timeout }: GivenOptions, command: Command) =>
      act(command, async ({ synod, output, json, deadlineMs, signal }) => {
        const how = { command: "synod read", endpoint: "POST /v1/reads", schema: ReadRequest };
        const { operations: list, timeoutMs } = chosenOperations(operations, file, how);
        const serverMs = timeout ?? timeoutMs;
        const result = await synod.read(list, {
          ...(serverMs !== undefined && { timeoutMs: serverMs }),
          ...{ deadlineMs, signal },
        });
        if (json) output.json(result);
        else showResults(output, result.results);
      }),
    );
}
