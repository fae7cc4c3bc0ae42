/** `synod read`. */
import type { Command } from "commander";
import { ReadRequest } from "../../shared/model/api.ts";
import type { ReadResult } from "../sdk.ts";
import type { Act } from "./context.ts";
import { examples } from "./help.ts";
import { sendsOperations, type RequestOptions } from "./requests.ts";
import { showResults } from "./results.ts";

const TAKER = { command: "synod read", endpoint: "POST /v1/reads", schema: ReadRequest } as const;

export function addReadCommand(program: Command, act: Act): void {
  const read = program
    .command("read")
    .description("read several shards: every transaction on all or on none")
    .addHelpText(
      "after",
      examples(
        "synod read --op 's1=select sum(balance) from accounts' --op 's2=select sum(balance) from accounts'",
        "synod read --statement s1=balance --param alice",
        "synod read -f books.json --json",
      ),
    );
  sendsOperations<RequestOptions, ReadResult>(read, act, {
    taker: TAKER,
    run: ({ synod, deadlineMs, signal }, { operations, timeoutMs }, { timeout = timeoutMs }) =>
      synod.read(operations, {
        ...(timeout !== undefined && { timeoutMs: timeout }),
        ...{ deadlineMs, signal },
      }),
    show: (output, { results }) => {
      showResults(output, results);
    },
  });
}
