import { describeLogReport, makeLogReport, type LogRun } from "../../bench/log/report.ts";

const runOf = (proposers: number, perSecond: number, p50Ms: number): LogRun => ({
  ...{ proposers, perSecond, p50Ms, p99Ms: 2 * p50Ms, decisions: 100, slots: 50 },
  bare: { syncMs: 0.3, roundTripMs: 0.2 },
  cpu: new Map([["leader 1", 0.001]]),
});

const plan = { proposers: [1, 256], repeats: 3, seconds: 1 };
const runs = [1, 0.8, 5].flatMap((factor) => [
  runOf(1, 1_000, factor),
  runOf(256, 19_000 * factor, 10),
]);

test("judges the latency of one proposer against what was measured beside it, by medians", () => {
  const report = makeLogReport(plan, runs, [300, 300, 300], 2);
  expect(report.rows[0]).toMatchObject({ p50Ms: 1, ofBare: 2, decisionsPerSlot: 2 });
  expect(report.rows[0]?.cpuMicros).toEqual({ "leader 1": 10 });
  expect(report.bars.map(({ value, met }) => [value, met])).toEqual([
    [2, true],
    [19_000, false],
  ]);
  expect(describeLogReport(report)).toMatch(/met: 2\.00 p50.*\nMISSED: 19000\.00 decisions/);
});

test("has no bar for what was not measured", () => {
  const report = makeLogReport({ ...plan, proposers: [8] }, [runOf(8, 1, 1)], [1], 2);
  expect(report.bars).toEqual([]);
});

test("ledgers that differ do not agree", () => {
  expect(makeLogReport(plan, runs, [300, 300, 300], 2).ledgersAgree).toBe(true);
  expect(makeLogReport(plan, runs, [300, 300, 299], 2).ledgersAgree).toBe(false);
});
