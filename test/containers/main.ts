/**
 * `npm run chaos -- --minutes 30`: one load that does not end, and every nemesis that the cluster can have, in random order, one
 * after the other; kills come more often. The seed gives the order; what the machine makes of it is its own. Exit code 0 only if
 * every checker holds, every transaction got its outcome, and after each fault no branch stayed in doubt beyond the bound.
 */
import { Command, Option } from "commander";
import { setTimeout } from "node:timers/promises";
import { wholeNumber } from "../../client/commands/parsing.ts";
import { run as runProgram } from "../../demo/interrupt.ts";
import type { CheckerVerdict } from "../histories/report/input.ts";
import { SeededRandom } from "../simulation/world/seeded-random.ts";
import { type Backend, BACKENDS } from "./cluster.ts";
import { missingFor, NEMESES } from "./nemeses/all.ts";
import { type Nemesis, ROLES } from "./nemesis.ts";
import { IN_DOUBT_BOUND_MS } from "./in-doubt.ts";
import type { Run, Strike } from "./run.ts";
import { newRunDirectory, startRun } from "./starting.ts";
import { describeRun, ms, tell } from "./telling.ts";

interface Options {
  readonly minutes: number;
  readonly backend: Backend;
  readonly seed: number;
}

const MEANWHILE_MS = 3_000;
/** A killed member is away for its start alone: the sooner it comes back, the more kills. */
const MEANWHILE_OF_KILLS_MS = 500;
const BETWEEN_MS = 500;
/** In each round, of what kills; everything else comes once. */
const KILLS_PER_ROUND = 4;

const command = new Command("npm run chaos --")
  .description("Load and faults for a long time; then everything is judged.")
  .option("--minutes <n>", "how long", wholeNumber(1, 10_000), 30)
  .addOption(new Option("--backend <name>", "on what").choices(BACKENDS).default("containers"))
  .option(
    "--seed <n>",
    "of the order",
    wholeNumber(0, 2 ** 31),
    Math.floor(Math.random() * 2 ** 31),
  );

async function main(): Promise<void> {
  const options = command.parse().opts<Options>();
  const { backend, seed, minutes } = options;
  tell(`seed ${seed}`);
  for (const nemesis of NEMESES) {
    const missing = missingFor(nemesis, backend);
    if (missing !== undefined) tell(`NOT DONE HERE: ${nemesis.name}, which needs ${missing}`);
  }
  const run = await startRun(backend, newRunDirectory(backend));
  const facts: [string, string][] = [
    ["seed", String(seed)],
    ["minutes", String(minutes)],
  ];
  let verdicts: readonly CheckerVerdict[] = [];
  try {
    const strikes = await disturb(run, options);
    const judged = await run.judge();
    verdicts = [...judged.verdicts, endsOf(run, strikes)];
    facts.push(...factsOf(strikes), ["decisions joined", String(judged.decisions)]);
  } finally {
    const holds = verdicts.length > 0 && verdicts.every((it) => it.holds);
    await run.close(facts, verdicts, !holds);
    for (const [name, value] of facts) tell(`${name}: ${value}`);
    for (const line of describeRun(run.recording, verdicts)) tell(line);
    tell(`report in ${run.directory}`);
    if (!holds) process.exitCode = 1;
  }
}

/** Resolves when the time is over and the load has ended. */
async function disturb(run: Run, { minutes, seed, backend }: Options): Promise<readonly Strike[]> {
  const random = new SeededRandom(seed);
  const strikes: Strike[] = [];
  const load = run.startLoad();
  const endAtMs = run.recording.nowMs() + minutes * 60_000;
  let round: Nemesis[] = [];
  try {
    while (run.recording.nowMs() < endAtMs) {
      if (round.length === 0) round = newRound(backend);
      const [nemesis] = round.splice(random.integer(round.length), 1);
      if (nemesis === undefined) throw new Error("this backend has no nemesis");
      const strike = await run.strike(
        nemesis,
        nemesis.kills ? MEANWHILE_OF_KILLS_MS : MEANWHILE_MS,
      );
      strikes.push(strike);
      tell(
        `${strikes.length} ${nemesis.name} (${strike.fault.victim}), in doubt after the heal ${ms(strike.inDoubtAfterHealMs)}`,
      );
      await run.keepUpWithLogs();
      await setTimeout(BETWEEN_MS);
    }
  } finally {
    await load.stop();
  }
  return strikes;
}

function newRound(backend: Backend): Nemesis[] {
  const possible = NEMESES.filter((it) => missingFor(it, backend) === undefined);
  return possible.flatMap((it) => Array.from({ length: it.kills ? KILLS_PER_ROUND : 1 }, () => it));
}

/** What must be over in the end. */
function endsOf({ recording }: Run, strikes: readonly Strike[]): CheckerVerdict {
  const late = strikes.filter(({ inDoubtAfterHealMs }) => inDoubtAfterHealMs === null);
  const unclear = recording.events.filter(({ event }) => event === "info");
  const findings = [
    ...late.map(
      ({ nemesis, fault }) =>
        `${nemesis} (${fault.victim}): branches of before its heal were in doubt ${IN_DOUBT_BOUND_MS} ms after it`,
    ),
    ...unclear.map(({ transaction }) => `nobody could tell what became of ${transaction}`),
  ];
  return { checker: "everything ends", holds: findings.length === 0, findings };
}

function factsOf(strikes: readonly Strike[]): [string, string][] {
  const kills = strikes.flatMap(({ fault }) => fault.kills);
  const byRole = ROLES.map((role) => `${kills.filter((it) => it === role).length} ${role}`);
  return [
    ["strikes", String(strikes.length)],
    ["kills", `${kills.length} (${byRole.join(", ")})`],
  ];
}

runProgram(main);
