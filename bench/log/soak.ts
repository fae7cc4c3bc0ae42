/**
 * `npm run soak`: many decided and completed transactions through the log of three processes, on a clock that the commands carry, so
 * that in minutes all but the last are beyond their retention. Tells data directories and resident memory on the way.
 * Exit code 0 only if both bars are met and all ledgers hold the same.
 */
import { mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import Table from "cli-table3";
import { Command } from "commander";
import { wholeNumber } from "../../client/commands/parsing.ts";
import { endOnInterrupt, run } from "../../demo/interrupt.ts";
import { LogGroup } from "./group.ts";
import { judgeSoak, type Checkpoint } from "./soak-report.ts";

/** Virtual time from one command to the next, and how long the ledger keeps what it may forget. */
const STEP_MS = 6;
const RETENTION_MS = 60_000;
/** Decided after the last that counts, so that it, too, is beyond its retention. */
const FOLLOWING = RETENTION_MS / STEP_MS;
const MEBIBYTE = 1024 * 1024;

interface Options {
  readonly transactions: number;
  readonly from: number;
  readonly proposers: number;
  readonly minutes: number;
  readonly json: boolean;
}

const command = new Command("npm run soak --")
  .description("Decide many transactions, and see that disk and memory stay bounded.")
  .option("--transactions <n>", "how many in all", wholeNumber(1_000, 1e9), 1_000_000)
  .option("--from <n>", "after how many memory is first looked at", wholeNumber(1_000, 1e9), 50_000)
  .option("--proposers <n>", "how many at a time", wholeNumber(1, 4_096), 256)
  .option("--minutes <n>", "give up after so long", wholeNumber(1, 1_440), 15)
  .option("--json", "print one JSON document instead of the table", false);

async function main(): Promise<void> {
  const options = command.parse().opts<Options>();
  const directory = resolve(".synod", `soak-${new Date().toISOString().replace(/\D/g, "")}`);
  const remove = (): void => {
    rmSync(directory, { recursive: true, force: true });
  };
  endOnInterrupt(remove);
  mkdirSync(directory, { recursive: true });
  const group = await LogGroup.start(directory, RETENTION_MS);
  const checkpoints = await soak(group, options);
  const committed = await group.settle();
  await group.end();
  remove();
  const report = { node: process.version, checkpoints, committed, ...judgeSoak(checkpoints) };
  const ledgersAgree = committed.every((count) => count === committed[0]);
  if (options.json) console.log(JSON.stringify({ ...report, ledgersAgree }, undefined, 2));
  else console.log(describe(checkpoints));
  for (const { bar, value, met } of report.bars) {
    console.error(`${met ? "met" : "MISSED"}: ${value.toFixed(2)} ${bar}`);
  }
  console.error(`ledgers agree: ${ledgersAgree ? "yes" : "no"}`);
  if (!ledgersAgree || report.bars.some(({ met }) => !met)) process.exitCode = 1;
}

async function soak(group: LogGroup, options: Options): Promise<readonly Checkpoint[]> {
  const { transactions, from, proposers, minutes } = options;
  const leader = await group.leader();
  const startedMs = performance.now();
  const checkpoints: Checkpoint[] = [];
  for (let decided = 0; decided < transactions;) {
    const next = Math.min(from, transactions - decided);
    decided += next;
    const following = decided === transactions ? FOLLOWING : 0;
    await leader.ask({
      kind: "decide",
      ...{ transactions: next + following, proposers, stepMs: STEP_MS },
    });
    await group.settle();
    const seconds = (performance.now() - startedMs) / 1_000;
    checkpoints.push(await lookAt(group, decided, seconds));
    console.error(`${decided} decided and completed in ${seconds.toFixed(0)} s`);
    if (seconds > minutes * 60) throw new Error(`not done within ${minutes} minutes`);
  }
  return checkpoints;
}

async function lookAt(group: LogGroup, decided: number, seconds: number): Promise<Checkpoint> {
  const looks = await group.look();
  return {
    ...{ decided, seconds },
    residentMiB: looks.map(({ residentBytes }) => residentBytes / MEBIBYTE),
    directoryMiB: group.members.map(({ directory }) => bytesUnder(directory) / MEBIBYTE),
    answers: looks.map(({ answers }) => answers),
  };
}

function bytesUnder(directory: string): number {
  let bytes = 0;
  for (const entry of readdirSync(directory, { withFileTypes: true, recursive: true })) {
    if (!entry.isFile()) continue;
    // A segment may be removed between the listing and the look.
    bytes += statSync(join(entry.parentPath, entry.name), { throwIfNoEntry: false })?.size ?? 0;
  }
  return bytes;
}

function describe(checkpoints: readonly Checkpoint[]): string {
  const table = new Table({
    head: ["decided", "seconds", "resident MiB", "directory MiB", "answers held"],
    colAligns: Array.from({ length: 5 }, () => "right" as const),
    style: { head: [], border: [], compact: true },
  });
  const whole = (values: readonly number[]): string =>
    values.map((value) => value.toFixed(0)).join(" · ");
  for (const { decided, seconds, residentMiB, directoryMiB, answers } of checkpoints) {
    table.push([
      ...[String(decided), seconds.toFixed(0), whole(residentMiB)],
      ...[whole(directoryMiB), whole(answers)],
    ]);
  }
  return table.toString();
}

run(main);
