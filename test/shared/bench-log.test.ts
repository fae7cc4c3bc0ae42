import { describeLogReport, makeLogReport, type LogRun } from "../../bench/log/report.ts";
import { judgeSoak, type Checkpoint } from "../../bench/log/soak-report.ts";

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

test("a soak is judged by its largest directory and by the process that grew most", () => {
  const look = (decided: number, resident: number, directory: number): Checkpoint => ({
    ...{ decided, seconds: 1, answers: [1, 1], residentMiB: [100, resident] },
    directoryMiB: [directory, 10],
  });
  const values = (checkpoints: readonly Checkpoint[]): readonly (readonly [number, boolean])[] =>
    judgeSoak(checkpoints).bars.map(({ value, met }) => [value, met] as const);
  expect(values([look(50, 100, 60), look(100, 120, 255), look(150, 150, 70)])).toEqual([
    [255, true],
    [1.5, true],
  ]);
  expect(values([look(50, 100, 256), look(150, 151, 70)])).toEqual([
    [256, false],
    [1.51, false],
  ]);
});
