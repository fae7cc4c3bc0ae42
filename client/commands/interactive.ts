/** `synod tx begin`, `exec`, `commit`, `rollback`: a transaction held open between commands. */
import { type Command, Option } from "commander";
import { WaitFor } from "../../shared/model/api.ts";
import { INTERACTIVE_LIMITS, InteractiveIsolation } from "../../shared/model/interactive.ts";
import type { SavepointStep } from "../sdk.ts";
import type { Act } from "./context.ts";
import { UsageError } from "./failure.ts";
import { examples } from "./help.ts";
import { takeOperations } from "./operations.ts";
import { commaSeparated, wholeNumber } from "./parsing.ts";
import { showRows } from "./results.ts";

interface BeginOptions {
  readonly isolation?: InteractiveIsolation;
  readonly shards?: readonly string[];
  readonly idleTimeout?: number;
  readonly timeout?: number;
}

interface ExecOptions {
  readonly seq: number;
  readonly savepoint?: string;
  readonly rollbackTo?: string;
  readonly release?: string;
}

export function addInteractiveCommands(tx: Command, act: Act): void {
  const { minTimeoutMs, maxIdleTimeoutMs, maxTimeoutMs } = INTERACTIVE_LIMITS;
  tx.command("begin")
    .description("open a transaction; it is rolled back when it waits or lasts too long")
    .addOption(
      new Option("--isolation <level>", "on every shard").choices(InteractiveIsolation.options),
    )
    .option("--shards <names>", "for isolation snapshot: all it may use, as s1,s2", commaSeparated)
    .option(
      "--idle-timeout <ms>",
      "how long it may wait for a command",
      wholeNumber(minTimeoutMs, maxIdleTimeoutMs),
    )
    .option("--timeout <ms>", "how long it may be open", wholeNumber(minTimeoutMs, maxTimeoutMs))
    .addHelpText(
      "after",
      examples(
        "id=$(synod tx begin --idle-timeout 60000)",
        "id=$(synod tx begin --isolation snapshot --shards s1,s2)",
      ),
    )
    .action(({ isolation, shards, idleTimeout, timeout }: BeginOptions, command: Command) =>
      act(command, async ({ synod, output, json, deadlineMs, signal }) => {
        const options = { isolation, shards, idleTimeoutMs: idleTimeout, timeoutMs: timeout };
        const begun = await synod.interactive.begin(options, { deadlineMs, signal });
        if (json) output.json(begun);
        else output.line(begun.id);
        if (!json)
          output.talk(
            `open until ${begun.expiresAt}, or ${begun.idleTimeoutMs} ms after its last command`,
          );
      }),
    );
  addExec(tx, act);
  tx.command("commit")
    .description("commit it on every shard, or on none")
    .argument("<id>", "as begin printed it")
    .addOption(new Option("--wait-for <what>", "when to answer").choices(WaitFor.options))
    .addHelpText("after", examples('synod tx commit "$id"'))
    .action((id: string, { waitFor }: { waitFor?: WaitFor }, command: Command) =>
      act(command, async ({ synod, output, json, deadlineMs, signal }) => {
        const committed = await synod.interactive.commit(id, waitFor, { deadlineMs, signal });
        const { outcome, pendingShards } = committed;
        if (json) output.json(committed);
        else
          output.facts([
            ["transaction", id],
            ["outcome", output.paint("green", outcome)],
          ]);
        if (pendingShards.length > 0) output.talk(`not confirmed yet: ${pendingShards.join(", ")}`);
      }),
    );
  tx.command("rollback")
    .description("undo all of it")
    .argument("<id>", "as begin printed it")
    .addHelpText("after", examples('synod tx rollback "$id"'))
    .action((id: string, _, command: Command) =>
      act(command, async ({ synod, output, json, deadlineMs, signal }) => {
        await synod.interactive.rollback(id, { deadlineMs, signal });
        if (json) output.json({ id, outcome: "aborted" });
        else
          output.facts([
            ["transaction", id],
            ["outcome", "rolled back"],
          ]);
      }),
    );
}

function addExec(tx: Command, act: Act): void {
  const exec = tx.command("exec").description("run one statement, or set or use a savepoint");
  const operations = takeOperations(exec);
  exec
    .argument("<id>", "as begin printed it")
    .requiredOption(
      "--seq <n>",
      "1 for the first step, then one more each",
      wholeNumber(1, 1_000_000_000),
    )
    .option("--savepoint <name>", "set one, on all shards")
    .option("--rollback-to <name>", "undo what came after it")
    .option("--release <name>", "forget it, and keep what came after it")
    .addHelpText(
      "after",
      examples(
        "synod tx exec \"$id\" --seq 1 --op 's1=select balance from accounts where id = $1' --param alice",
        'synod tx exec "$id" --seq 2 --savepoint before_fee',
        'synod tx exec "$id" --seq 3 --statement s1=debit --param 10 --param alice',
      ),
    )
    .action((id: string, options: ExecOptions, command: Command) =>
      act(command, async ({ synod, output, json, deadlineMs, signal }) => {
        const { seq } = options;
        const steps = savepointSteps(options);
        const [operation] = operations;
        const [step] = steps;
        if (operations.length + steps.length !== 1) {
          throw new UsageError(
            "give exactly one of --op, --statement, --savepoint, --rollback-to and --release",
            "see examples: synod tx exec --help",
          );
        }
        if (step !== undefined) {
          await synod.interactive.savepoint(id, seq, step, { deadlineMs, signal });
          if (json) output.json({ seq });
          else output.talk("done");
        }
        if (operation !== undefined) {
          const result = await synod.interactive.query(id, seq, operation, { deadlineMs, signal });
          if (json) output.json(result);
          else {
            output.talk(`${result.rowCount} ${result.rowCount === 1 ? "row" : "rows"}`);
            showRows(output, result.rows);
          }
        }
      }),
    );
}

function savepointSteps({ savepoint, rollbackTo, release }: ExecOptions): readonly SavepointStep[] {
  return [
    ...(savepoint === undefined ? [] : [{ savepoint }]),
    ...(rollbackTo === undefined ? [] : [{ rollbackTo }]),
    ...(release === undefined ? [] : [{ release }]),
  ];
}
