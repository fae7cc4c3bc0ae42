/** 64 clients that repeat every unclear answer, while leaders are killed: no key is counted twice, and none is lost. */
import { execFile } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { ExactlyOnceReport } from "../../bench/exactly-once/main.ts";

const program = join(import.meta.dirname, "../../dist/bench/exactly-once/main.js");
const home = mkdtempSync(join(tmpdir(), "synod-exactly-once-"));
chmodSync(home, 0o755);

afterAll(() => {
  rmSync(home, { recursive: true, force: true });
});

test("no key is counted twice, and none is acknowledged and missing", async () => {
  const options = ["--json", "--seconds", "12", "--kill-every-seconds", "3"];
  const { stdout } = await promisify(execFile)(process.execPath, [program, ...options], {
    cwd: home,
  });
  process.stdout.write(`\nexactly once ${stdout}`);
  const report = JSON.parse(stdout) as ExactlyOnceReport;
  expect(report).toMatchObject({
    ...{ countedTwice: 0, acknowledgedAndMissing: 0, abortedAndCounted: 0 },
    ...{ halfCounted: 0, strange: 0, unresolved: 0 },
  });
  expect(report.leaderKills).toBeGreaterThan(0);
  expect(report.unclearAnswers).toBeGreaterThan(0);
  expect(Math.min(report.oneShardKeys, report.twoShardKeys)).toBeGreaterThan(100);
  expect(report.acknowledged).toBeGreaterThan(100);
}, 240_000);
