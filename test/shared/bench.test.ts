import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpuBetween, cpuIsMeasured, sampleCpu } from "../../bench/cpu.ts";
import { median, quantile, runLoad } from "../../bench/load.ts";
import { makeReport } from "../../bench/report.ts";
import { SYSTEMS, type Run, type System } from "../../bench/measure.ts";
import { ACCOUNTS_PER_SHARD, ownAccount } from "../../bench/accounts.ts";

test("finds the middle of odd and even many values", () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 2, 3])).toBe(2.5);
  expect(median([])).toBeNaN();
});

test("finds quantiles of ascending values", () => {
  const values = Float64Array.from({ length: 100 }, (_, index) => index + 1);
  expect([quantile(values, 0.5), quantile(values, 0.99), quantile(values, 1)]).toEqual([
    51, 100, 100,
  ]);
  expect(quantile(new Float64Array(), 0.5)).toBeNaN();
});

test("counts what committed and what aborted, and waits for the last one", async () => {
  let begun = 0;
  const client = {
    transact: async () => {
      begun += 1;
      const mine = begun;
      await new Promise((resolve) => setTimeout(resolve, 5));
      return mine % 3 === 0 ? ("aborted" as const) : ("committed" as const);
    },
  };
  const load = await runLoad([client, client], 100);
  expect(load.committed + load.aborted).toBe(begun);
  expect(load.aborted).toBe(Math.floor(begun / 3));
  expect(load.latenciesMs).toHaveLength(load.committed);
  expect(load.latenciesMs[0]).toBeGreaterThan(4);
  expect(load.elapsedMs).toBeGreaterThanOrEqual(100);
});

test("each client has accounts of its own", () => {
  const drawn = [0, 3, 6].map((client) =>
    Array.from({ length: 2_000 }, () => ownAccount("s1", client, 7)),
  );
  const distinct = drawn.map((accounts) => new Set(accounts));
  expect(new Set(drawn.flat()).size).toBe(distinct.reduce((sum, { size }) => sum + size, 0));
  const indexes = drawn.flat().map((account) => Number(account.slice(3)));
  expect(Math.max(...indexes)).toBeLessThan(ACCOUNTS_PER_SHARD);
});

test("measures a process, and a tree with those of its children that have ended", async () => {
  const burn = "while (process.cpuUsage().user < 300_000) Math.sqrt(2)";
  const code = `require("node:child_process").spawnSync(process.execPath, ["-e", ${JSON.stringify(burn)}]); console.log("done"); setInterval(() => {}, 1e6)`;
  const child = spawn(process.execPath, ["-e", code]);
  try {
    const watched = [
      { name: "tree", pid: () => child.pid ?? 0, tree: true },
      { name: "alone", pid: () => child.pid ?? 0, tree: false },
      { name: "gone", pid: () => 2 ** 30, tree: true },
    ];
    const before = sampleCpu(watched);
    await once(child.stdout, "data");
    const used = cpuBetween(before, sampleCpu(watched));
    const [tree = 0, alone = 0] = [used.get("tree"), used.get("alone")];
    expect({
      watched: used.size,
      treeIsAhead: tree - alone > 0.15,
      gone: used.get("gone"),
    }).toEqual(
      cpuIsMeasured
        ? { watched: 3, treeIsAhead: true, gone: 0 }
        : { watched: 0, treeIsAhead: false, gone: undefined },
    );
  } finally {
    child.kill("SIGKILL");
    await once(child, "exit");
  }
});

const runOf = (system: System, clients: number, perSecond: number, p50Ms: number): Run => ({
  ...{ system, clients, perSecond, p50Ms, p99Ms: p50Ms * 2, committed: 100, aborted: 1 },
  cpu: new Map([["client", perSecond / 1e6]]),
});

test("reports medians, judges the bars and the sums", () => {
  const plan = { clients: [1, 8], repeats: 3, seconds: 1 };
  const speeds: Partial<Record<System, number>> = {
    bareTransfer: 1_000,
    synodTransfer: 400,
    synodTransferAlone: 600,
  };
  const runs = (Object.keys(SYSTEMS) as System[]).flatMap((system) =>
    [1, 8].flatMap((clients) =>
      [0.9, 1, 5].map((factor) => runOf(system, clients, (speeds[system] ?? 10) * factor, clients)),
    ),
  );
  const right = { expected: 10, found: 10, preparedLeft: 0 };
  const report = makeReport(plan, runs, right, 2);
  expect(report.rows).toHaveLength(12);
  expect(report.rows[0]).toMatchObject({ perSecond: 1_000, aborted: 3, cpuMicros: { client: 10 } });
  expect(report.bars.map(({ value, met }) => [value, met])).toEqual([
    [0.4, false],
    [0.6, true],
    [1, true],
  ]);
  expect(report.sumsAreRight).toBe(true);
  expect(makeReport(plan, runs, { ...right, found: 9 }, 2).sumsAreRight).toBe(false);
  expect(makeReport(plan, runs, { ...right, preparedLeft: 1 }, 2).sumsAreRight).toBe(false);
});
