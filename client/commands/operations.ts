/**
 * Statements given on the command line: `--op shard=sql` or `--statement shard=name` begins one, and the `--param`, `--json-param` and
 * `--expect` after it belong to it. Or a whole request from a file.
 */
import { readFileSync } from "node:fs";
import { type Command, InvalidArgumentError } from "commander";
import { z } from "zod";
import type { TransactionRequest } from "../../shared/model/api.ts";
import type { Operation, SqlValue } from "../sdk.ts";
import { UsageError } from "./failure.ts";
import { wholeNumber } from "./parsing.ts";
import { readGiven } from "./settings.ts";

type Given = ({ readonly sql: string } | { readonly statement: string }) & {
  readonly shard: string;
  readonly params: SqlValue[];
  expect?: { readonly rowCount: number };
};

const MAX_ROW_COUNT = 1_000_000_000;
const STANDARD_INPUT = 0;

/** Adds the options to a command; what it returns fills up as they are parsed, in their order. */
export function takeOperations(command: Command): readonly Operation[] {
  const operations: Given[] = [];
  const last = (): Given => {
    const operation = operations.at(-1);
    if (operation === undefined)
      throw new InvalidArgumentError("It belongs after the --op or --statement it is for.");
    return operation;
  };
  command
    .option("--op <shard=sql>", "a statement for a shard; may be repeated", (text: string) => {
      const [shard, sql] = parsePlaced(text, "s1=select 1");
      operations.push({ shard, sql, params: [] });
    })
    .option("--statement <shard=name>", "the same, by the name of a statement", (text: string) => {
      const [shard, statement] = parsePlaced(text, "s1=debit");
      operations.push({ shard, statement, params: [] });
    })
    .option("--param <text>", "the next $n of the last statement, as text", (text: string) => {
      last().params.push(text);
    })
    .option("--json-param <json>", "the same, as JSON: null, true, [1,2], {}", (text: string) => {
      last().params.push(parseParam(text));
    })
    .option(
      "--expect <rows>",
      "abort unless the last statement touches so many rows",
      (text: string) => {
        last().expect = { rowCount: wholeNumber(0, MAX_ROW_COUNT)(text) };
      },
    );
  return operations;
}

function parsePlaced(text: string, example: string): readonly [shard: string, what: string] {
  const [, shard, what] = /^([^=\s]+)=(.+)$/s.exec(text) ?? [];
  if (shard !== undefined && what !== undefined) return [shard, what];
  throw new InvalidArgumentError(`It must look like "${example}".`);
}

function parseParam(text: string): SqlValue {
  try {
    return JSON.parse(text) as SqlValue;
  } catch {
    throw new InvalidArgumentError("It is not JSON; a text needs quotes, or --param.");
  }
}

/** What takes the operations. */
export interface Taker {
  readonly command: string;
  readonly endpoint: string;
  readonly schema: z.ZodType;
}

export type Body = Omit<z.input<typeof TransactionRequest>, "operations"> & {
  readonly operations: readonly Operation[];
};

/** Those of the options, or the request in the file: one of the two must be given. */
export function chosenOperations(
  operations: readonly Operation[],
  file: string | undefined,
  taker: Taker,
): Body {
  if ((file === undefined) === (operations.length === 0)) {
    throw new UsageError(
      "give either --op and --statement, or -f",
      `see examples: ${taker.command} --help`,
    );
  }
  return file === undefined ? { operations } : readRequestFile(file, taker);
}

/** The body that the endpoint takes, or a list of its operations; `-` is the standard input. */
function readRequestFile(file: string, { endpoint, schema }: Taker): Body {
  const next = `write what ${endpoint} takes, or a list of operations`;
  const text =
    file === "-" ? readFileSync(STANDARD_INPUT, "utf8") : readGiven(file, "the request", "-f");
  let json: unknown;
  try {
    json = JSON.parse(text) as unknown;
  } catch (error) {
    throw new UsageError(`${file}: ${(error as Error).message}`, next);
  }
  const body: unknown = Array.isArray(json) ? { operations: json } : json;
  const read = schema.safeParse(body);
  if (!read.success) throw new UsageError(`${file}: ${z.prettifyError(read.error)}`, next);
  return body as Body;
}
