/**
 * `npm run bench:log`: the replicated log of three processes on this machine, beside what it cannot be without. Exit code 0
 * only if all processes hold the same commits at the end; a missed bar is told, not punished.
 */
import { mkdirSync, rmSync } from "node:fs";
import { cpus } from "node:os";
import { resolve } from "node:path";
import { Command, InvalidArgumentError } from "commander";
import { wholeNumber } from "../../client/commands/parsing.ts";
import { endOnInterrupt, run } from "../../demo/interrupt.ts";
import { cpuBetween, sampleCpu, type Watched } from "../cpu.ts";
import { LogGroup, type LogProcess } from "./group.ts";
import type { BareCosts } from "./protocol.ts";
import { describeLogReport, makeLogReport, type LogPlan, type LogRun } from "./report.ts";

interface Options extends LogPlan {
  readonly json: boolean;
  readonly profile?: string;
}

const DEFAULT_PROPOSERS = [1, 8, 64, 256];
const MAX_PROPOSERS = 4_096;
const BARE_MS = 150;
/** At each number of proposers, most first: a few thousand decisions later the programs have compiled what they need. */
const WARM_UP_MS = 2_000;
const RETENTION_MS = 10_000;

function proposerCounts(text: string): number[] {
  const counts = text.split(",").map(Number);
  if (!counts.every((n) => Number.isInteger(n) && n >= 1 && n <= MAX_PROPOSERS)) {
    throw new InvalidArgumentError(`It must look like 1,8,64, each from 1 to ${MAX_PROPOSERS}.`);
  }
  return counts;
}

const command = new Command("npm run bench:log --")
  .description("Measure the replicated log beside one fdatasync and one ws round trip.")
  .option("--seconds <n>", "how long each repeat measures", wholeNumber(1, 3_600), 1)
  .option("--repeats <n>", "repeats of which the median counts", wholeNumber(1, 1_000), 7)
  .option("--proposers <list>", "numbers of proposers", proposerCounts, DEFAULT_PROPOSERS)
  .option("--profile <directory>", "write a CPU profile of each process there")
  .option("--json", "print one JSON document instead of the table", false);

async function main(): Promise<void> {
  const { json, profile, proposers, repeats, seconds } = command.parse().opts<Options>();
  const plan = { proposers, repeats, seconds };
  const directory = resolve(".synod", `bench-log-${new Date().toISOString().replace(/\D/g, "")}`);
  const remove = (): void => {
    rmSync(directory, { recursive: true, force: true });
  };
  endOnInterrupt(remove);
  mkdirSync(directory, { recursive: true });
  const profiling = profile === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${profile}`];
  const group = await LogGroup.start(directory, RETENTION_MS, profiling);
  const runs = await measure(group, plan);
  const committed = await group.settle();
  await group.end();
  const report = makeLogReport(plan, runs, committed, cpus().length);
  console.log(json ? JSON.stringify(report, undefined, 2) : describeLogReport(report));
  remove();
  if (!report.ledgersAgree) process.exitCode = 1;
}

async function measure(group: LogGroup, plan: LogPlan): Promise<readonly LogRun[]> {
  const leader = await group.leader();
  const watched = watch(group, leader);
  const durationMs = plan.seconds * 1_000;
  console.error("warming up");
  for (const proposers of [...plan.proposers].reverse()) {
    await leader.ask({ kind: "measureLog", proposers, durationMs: WARM_UP_MS });
  }
  const runs: LogRun[] = [];
  for (let repeat = 1; repeat <= plan.repeats; repeat += 1) {
    for (const proposers of plan.proposers) {
      const before = await leader.ask({ kind: "measureBare", durationMs: BARE_MS });
      const cpuFrom = sampleCpu(watched);
      const costs = await leader.ask({ kind: "measureLog", proposers, durationMs });
      const cpu = cpuBetween(cpuFrom, sampleCpu(watched));
      const after = await leader.ask({ kind: "measureBare", durationMs: BARE_MS });
      runs.push({ proposers, ...costs, cpu, bare: mean(before, after) });
      console.error(
        `repeat ${repeat}: ${proposers} proposers: ${costs.perSecond.toFixed(0)}/s, p50 ${costs.p50Ms.toFixed(3)} ms`,
      );
    }
  }
  return runs;
}

function mean(one: BareCosts, other: BareCosts): BareCosts {
  return {
    syncMs: (one.syncMs + other.syncMs) / 2,
    roundTripMs: (one.roundTripMs + other.roundTripMs) / 2,
  };
}

function watch(group: LogGroup, leader: LogProcess): readonly Watched[] {
  return group.members.map((member) => {
    const role = member === leader ? "leader" : "follower";
    return { name: `${role} ${member.nodeId}`, pid: () => member.pid, tree: false };
  });
}

run(main);
