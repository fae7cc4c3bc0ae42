/** Commands that send their operations in one request, and tell what came of it. */
import type { Command } from "commander";
import { LIMITS } from "../../shared/model/api.ts";
import type { Act, CommandContext } from "./context.ts";
import { chosenOperations, takeOperations, type Body, type Taker } from "./operations.ts";
import type { Output } from "./output.ts";
import { wholeNumber } from "./parsing.ts";

export interface RequestOptions {
  readonly file?: string;
  readonly timeout?: number;
}

export interface RequestCommand<Options extends RequestOptions, Result> {
  readonly taker: Taker;
  readonly run: (context: CommandContext, body: Body, options: Options) => Promise<Result>;
  readonly show: (output: Output, result: Result) => void;
}

export function sendsOperations<Options extends RequestOptions, Result>(
  command: Command,
  act: Act,
  { taker, run, show }: RequestCommand<Options, Result>,
): void {
  const operations = takeOperations(command);
  command
    .option("-f, --file <file>", "the request as JSON; - reads the standard input")
    .option(
      "--timeout <ms>",
      "what the server gives one attempt",
      wholeNumber(LIMITS.minTimeoutMs, LIMITS.maxTimeoutMs),
    )
    .action((options: Options, self: Command) =>
      act(self, async (context) => {
        const body = chosenOperations(operations, options.file, taker);
        const result = await run(context, body, options);
        if (context.json) context.output.json(result);
        else show(context.output, result);
      }),
    );
}
