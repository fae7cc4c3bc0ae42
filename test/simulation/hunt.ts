/**
 * Many seeds, one after the other, in as many processes as asked for. The parent only hands out seeds and adds up, so that it
 * can tell at any moment what was seen: every minute, and when it is interrupted.
 */
import { fork, type ChildProcess } from "node:child_process";
import { join } from "node:path";
import type { Mutation } from "./mutation.ts";
import { Totals, type SeedReport } from "./totals.ts";

export interface HuntOptions {
  readonly seeds: Iterable<number>;
  readonly forMs: number;
  readonly jobs: number;
  readonly mutation: Mutation;
  readonly world: Mutation;
  /** How much of the trace of a failed seed is told; undefined for the usual. */
  readonly lines: number | undefined;
}

/** What a worker is told to do. */
export interface HuntTask {
  readonly seed: number;
  readonly mutation: Mutation;
  readonly world: Mutation;
  readonly lines: number | undefined;
}

/** The seeds from one on, `count` of them; after the greatest comes 0. */
export function* seedsFrom(first: number, count: number): Iterable<number> {
  for (let index = 0; index < count; index += 1) yield (first + index) % MAX_SEED;
}

export const MAX_SEED = 2 ** 31;
const PROGRESS_INTERVAL_MS = 60_000;
const WORKER = join(import.meta.dirname, "hunt-worker.ts");

/** Resolves when the seeds or the time are used up, or Ctrl-C was pressed, and every worker has ended. */
export async function hunt(options: HuntOptions): Promise<Totals> {
  const totals = new Totals();
  const { forMs, jobs, mutation, world, lines } = options;
  const seeds = options.seeds[Symbol.iterator]();
  let isInterrupted = false;
  const next = (): HuntTask | undefined => {
    if (isInterrupted || totals.realMs >= forMs) return undefined;
    const seed = seeds.next();
    return seed.done === true ? undefined : { seed: seed.value, mutation, world, lines };
  };
  const interrupt = (): void => {
    isInterrupted = true;
  };
  process.once("SIGINT", interrupt);
  const progress = setInterval(() => {
    tell(totals.line());
  }, PROGRESS_INTERVAL_MS);
  try {
    await Promise.all(Array.from({ length: jobs }, () => work(next, totals)));
  } finally {
    clearInterval(progress);
    process.off("SIGINT", interrupt);
  }
  return totals;
}

function work(next: () => HuntTask | undefined, totals: Totals): Promise<void> {
  const worker = fork(WORKER, { execArgv: ["--import", "tsx"], serialization: "advanced" });
  return new Promise((resolve, reject) => {
    let seed: number | undefined;
    const handOut = (): void => {
      const task = next();
      seed = task?.seed;
      if (task === undefined) worker.disconnect();
      else send(worker, task);
    };
    worker.on("message", (message) => {
      const report = message as SeedReport;
      totals.add(report);
      if (report.story !== undefined) tell(`\n${report.story}\n`);
      handOut();
    });
    worker.once("error", reject);
    worker.once("exit", (code, signal) => {
      if (seed === undefined) resolve();
      else reject(new Error(`the worker of seed ${seed} ended with ${signal ?? code ?? ""}`));
    });
    handOut();
  });
}

function send(worker: ChildProcess, task: HuntTask): void {
  worker.send(task);
}

function tell(text: string): void {
  process.stdout.write(`${text}\n`);
}
