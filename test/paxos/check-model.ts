/**
 * The model check: one line for each scope (model-checks.ts), and a shortest schedule where something breaks.
 *
 *   npm run check:model                      the default scopes
 *   npm run check:model -- --large           the larger ones too (some minutes, and a gigabyte of memory each)
 *   npm run check:model -- --jobs 1          in so many processes; without it in as many as there are processors
 *   npm run check:model -- 3 2 2 1           one scope: nodes, slots, ballots, crashes
 *
 * Exit code 1 when an invariant breaks, a scope outgrows its bound or a situation that it must meet is not met.
 */
import { fork } from "node:child_process";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { header, scopeText } from "./explorer/report.ts";
import { checkModel, type Checked, type CheckTask } from "./check-model-worker.ts";
import { MODEL_CHECKS, type ModelCheck } from "./model-checks.ts";

const WORKER = join(import.meta.dirname, "check-model-worker.ts");

const { values, positionals } = parseArgs({
  options: { large: { type: "boolean", default: false }, jobs: { type: "string" } },
  allowPositionals: true,
});

function asked([nodes = 3, slots = 1, ballots = 2, crashes = 0]: readonly number[]): ModelCheck {
  const scope = { nodes, slots, ballots, crashes, nacks: true };
  return { title: scopeText(scope), length: "large", scope, mustMeet: [] };
}

/** The longest begin first, so that no process is left with one at the end; their lines come in the order of the table. */
async function checkAll(checks: readonly ModelCheck[], jobs: number): Promise<readonly Checked[]> {
  const lengths = ["large", "long", "brief"];
  const waiting = checks.toSorted((a, b) => lengths.indexOf(a.length) - lengths.indexOf(b.length));
  const checked = new Map<string, Checked>();
  let told = 0;
  const tell = (title: string, result: Checked): void => {
    checked.set(title, result);
    for (;;) {
      const next = checked.get(checks[told]?.title ?? "");
      if (next === undefined) return;
      process.stdout.write(next.text);
      told += 1;
    }
  };
  await Promise.all(Array.from({ length: jobs }, () => work(() => waiting.shift()?.title, tell)));
  return [...checked.values()];
}

function work(
  next: () => string | undefined,
  tell: (title: string, result: Checked) => void,
): Promise<void> {
  const worker = fork(WORKER, { execArgv: ["--import", "tsx"] });
  return new Promise((resolve, reject) => {
    let title: string | undefined;
    const handOut = (): void => {
      title = next();
      if (title === undefined) worker.disconnect();
      else worker.send({ title } satisfies CheckTask);
    };
    worker.on("message", (message) => {
      if (title !== undefined) tell(title, message as Checked);
      handOut();
    });
    worker.once("error", reject);
    worker.once("exit", (code, signal) => {
      if (title === undefined) resolve();
      else reject(new Error(`the process of "${title}" ended with ${signal ?? code ?? ""}`));
    });
    handOut();
  });
}

async function main(): Promise<void> {
  process.stdout.write(header());
  const startedAtMs = performance.now();
  let checked: readonly Checked[];
  const strange = positionals.find((word) => !/^\d+$/.test(word));
  if (strange !== undefined) throw new Error(`${strange} is not a number of nodes, slots, …`);
  if (positionals.length > 0) {
    checked = [checkModel(asked(positionals.map(Number)))];
    process.stdout.write(checked.map(({ text }) => text).join(""));
  } else {
    const checks = MODEL_CHECKS.filter(({ length }) => length !== "large" || values.large);
    checked = await checkAll(checks, Number(values.jobs ?? availableParallelism()));
  }
  const seconds = ((performance.now() - startedAtMs) / 1000).toFixed(1);
  const cpuSeconds = checked.reduce((sum, each) => sum + each.cpuSeconds, 0).toFixed(1);
  process.stdout.write(`${checked.length} scopes in ${seconds} s, ${cpuSeconds} s of a core\n`);
  if (checked.some(({ passed }) => !passed)) process.exitCode = 1;
}

await main();
