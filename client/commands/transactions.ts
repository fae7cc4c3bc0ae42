/** `synod tx run`, `get`, `list`, `watch`, and `synod in-doubt list`. */
import { setTimeout } from "node:timers/promises";
import { type Command, Option } from "commander";
import { Isolation, TransactionRequest, WaitFor } from "../../shared/model/api.ts";
import { LIST_LIMITS, type ListAnswer } from "../../shared/model/listing.ts";
import type { TransactionOptions, TransactionResult } from "../sdk.ts";
import type { Act, CommandContext } from "./context.ts";
import { EXIT, FoundWrong, UsageError } from "./failure.ts";
import { examples } from "./help.ts";
import type { Body } from "./operations.ts";
import type { Output } from "./output.ts";
import { wholeNumber } from "./parsing.ts";
import { sendsOperations, type RequestOptions } from "./requests.ts";
import { showResults } from "./results.ts";

const WATCH_INTERVAL_MS = 250;
const TAKER = {
  command: "synod tx run",
  endpoint: "POST /v1/transactions",
  schema: TransactionRequest,
} as const;

export function addTransactionCommands(tx: Command, act: Act): void {
  addRun(tx, act);
  tx.command("get")
    .description("tell what became of a transaction")
    .argument("<id>", "as an answer named it")
    .addHelpText("after", examples("synod tx get 1-2-7-ckx5k0d3m9x2"))
    .action((id: string, _, command: Command) => act(command, (context) => get(context, id)));
  tx.command("watch")
    .description("tell every change of a transaction until it is finished")
    .argument("<id>", "as an answer named it")
    .addHelpText("after", examples("synod tx watch 1-2-7-ckx5k0d3m9x2"))
    .action((id: string, _, command: Command) => act(command, (context) => watch(context, id)));
  paged(tx.command("list"))
    .description("list what is not finished, as the leader knows it")
    .addOption(new Option("--state <state>", "only these").choices(["active", "committed"]))
    .addHelpText("after", examples("synod tx list", "synod tx list --state active --limit 200"))
    .action((options: ListOptions, command: Command) =>
      act(command, (context) => list(context, options)),
    );
}

export function addInDoubtCommands(program: Command, act: Act): void {
  const inDoubt = program
    .command("in-doubt")
    .description("transactions that are decided, and that a shard has not confirmed");
  paged(inDoubt.command("list"))
    .description("list them, with the shards that are behind")
    .addHelpText("after", examples("synod in-doubt list"))
    .action((options: ListOptions, command: Command) =>
      act(command, (context) => list(context, { ...options, state: "committed" })),
    );
}

type RunOptions = Pick<TransactionOptions, "isolation" | "waitFor" | "retryAborted"> &
  RequestOptions & { readonly key?: string };

function addRun(tx: Command, act: Act): void {
  const run = tx
    .command("run")
    .description("run a transaction: all of it or nothing")
    .option("--key <key>", "the idempotency key; made anew by default")
    .option("--retry-aborted", "begin again, under a new key, after an abort that may pass")
    .addOption(new Option("--isolation <level>", "on every shard").choices(Isolation.options))
    .addOption(new Option("--wait-for <what>", "when to answer").choices(WaitFor.options))
    .addHelpText(
      "after",
      examples(
        "synod tx run --op 's1=select id, balance from accounts'",
        "synod tx run \\\n" +
          "      --op 's1=update accounts set balance = balance - $1 where id = $2' --param 10 --param alice --expect 1 \\\n" +
          "      --op 's2=update accounts set balance = balance + $1 where id = $2' --param 10 --param bob --expect 1",
        "synod tx run --statement s1=debit --param 10 --param alice --expect 1",
        "synod tx run -f transfer.json --key rent-december",
      ),
    );
  sendsOperations<RunOptions, TransactionResult>(run, act, {
    taker: TAKER,
    run: runTransaction,
    show: showResult,
  });
}

async function runTransaction(
  { synod, deadlineMs, signal }: CommandContext,
  { operations, ...more }: Body,
  { key, timeout, isolation, waitFor, retryAborted }: RunOptions,
): Promise<TransactionResult> {
  if (key !== undefined && retryAborted === true) {
    throw new UsageError("--retry-aborted makes new keys", "leave --key or --retry-aborted out");
  }
  const given = { isolation, waitFor, retryAborted, idempotencyKey: key, timeoutMs: timeout };
  return synod.transaction(operations, {
    ...(more as Pick<TransactionOptions, "isolation" | "waitFor" | "timeoutMs">),
    ...withoutUndefined(given),
    ...{ deadlineMs, signal },
  });
}

function withoutUndefined<T extends object>(given: T): Partial<T> {
  const entries = Object.entries(given).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as Partial<T>;
}

function showResult(output: Output, result: TransactionResult): void {
  const { id, outcome, pendingShards, replayed, results } = result;
  const before = replayed ? " (before, under this key)" : "";
  output.facts([
    ["transaction", id],
    ["outcome", output.paint("green", outcome) + before],
    ...(pendingShards.length > 0 ? [["pending", pendingShards.join(", ")] as const] : []),
  ]);
  output.line("");
  showResults(output, results);
}

async function get(
  { synod, output, json, deadlineMs, signal }: CommandContext,
  id: string,
): Promise<void> {
  const status = await synod.status(id, { deadlineMs, signal });
  if (json) output.json(status);
  else output.facts(statusRows(status));
}

function statusRows({ id, state, pendingShards }: Status): (readonly [string, string])[] {
  const pending = pendingShards.length === 0 ? "none" : pendingShards.join(", ");
  return [
    ["transaction", id],
    ["state", state === "aborted" ? "aborted, or it only read: no effect on any shard" : state],
    ["pending", pending],
  ];
}

type Status = Awaited<ReturnType<CommandContext["synod"]["status"]>>;

/** Until it is decided and confirmed, or the deadline has passed. */
async function watch(context: CommandContext, id: string): Promise<void> {
  const { synod, output, json, deadlineMs, signal } = context;
  const untilMs = performance.now() + deadlineMs;
  let told = "";
  for (;;) {
    const leftMs = untilMs - performance.now();
    const status = await synod.status(id, { deadlineMs: Math.max(1, leftMs), signal });
    const { state, pendingShards } = status;
    const text = [
      state,
      ...(pendingShards.length > 0 ? [`pending: ${pendingShards.join(", ")}`] : []),
    ].join("  ");
    if (text !== told) {
      if (json) output.json(status);
      else output.line(text);
    }
    told = text;
    if (state !== "active" && state !== "unknown" && pendingShards.length === 0) return;
    if (untilMs - performance.now() <= WATCH_INTERVAL_MS) {
      const next = "watch longer: --deadline";
      throw new FoundWrong(`not finished within ${deadlineMs} ms`, next, EXIT.unknown);
    }
    await setTimeout(WATCH_INTERVAL_MS, undefined, { signal });
  }
}

interface ListOptions {
  readonly state?: "active" | "committed";
  readonly limit: number;
  readonly cursor?: string;
}

function paged(command: Command): Command {
  return command
    .option("--limit <n>", "how many", wholeNumber(1, LIST_LIMITS.maxPage), LIST_LIMITS.defaultPage)
    .option("--cursor <cursor>", "go on behind a page");
}

async function list(
  { synod, output, json, deadlineMs, signal }: CommandContext,
  { state, limit, cursor }: ListOptions,
): Promise<void> {
  const query = withoutUndefined({ state, limit, cursor });
  const page = await synod.list({ ...query, deadlineMs, signal });
  if (json) output.json(page);
  else showPage(output, page);
}

function showPage(output: Output, { transactions, nextCursor }: ListAnswer): void {
  if (transactions.length === 0) output.talk("none");
  else {
    output.table(
      ["transaction", "state", "shards", "pending", "decided"],
      transactions.map(({ id, state, shards, pendingShards, decidedAt }) => [
        ...[id, state, shards.join(","), pendingShards.join(","), decidedAt ?? ""],
      ]),
    );
  }
  if (nextCursor !== null) output.talk(`there are more: --cursor ${nextCursor}`);
}
