import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, chmodSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { seedAccounts } from "../../demo/accounts.ts";
import { removeClusterDirectory, startLocalCluster } from "../../demo/local-cluster.ts";
import type { Report } from "../../demo/transfers/report.ts";

const dist = join(import.meta.dirname, "..", "..", "dist");
const home = mkdtempSync(join(tmpdir(), "synod-demo-"));
chmodSync(home, 0o755);

afterAll(() => {
  rmSync(home, { recursive: true, force: true });
});

/** Rejects when the exit code is not 0. */
async function runDemo(...options: string[]): Promise<string> {
  const program = join(dist, "demo", "transfers.js");
  const { stdout } = await promisify(execFile)(process.execPath, [program, ...options], {
    cwd: home,
  });
  return stdout;
}

test("money moves, the leader is killed on the way, and the books balance", async () => {
  const report = JSON.parse(await runDemo("--json", "--seconds", "6", "--clients", "8")) as Report;
  expect(report.books).toMatchObject({ balance: true, sumBefore: 1_000_000, sumAfter: 1_000_000 });
  expect(report.committed).toBeGreaterThan(0);
  expect(report.books.transfers).toBe(report.committed);
  expect(report.events.map(({ what }) => what.replace(/\d/, "N"))).toEqual([
    "leader coordinator N killed with SIGKILL",
    "coordinator N leads",
    "coordinator N is back",
  ]);
  expect(readdirSync(join(home, ".synod"))).toEqual([]);
}, 120_000);

test("for people it ends with a table and the verdict", async () => {
  const small = ["--coordinators", "1", "--shards", "2", "--clients", "2", "--seconds", "1"];
  const output = await runDemo(...small, "--no-kill");
  expect(output).toMatch(/committed transfers +│ +[1-9]/);
  expect(output.trimEnd().split("\n").at(-1)).toBe("books balance: yes");
}, 60_000);

test("on a cluster that runs already, books of each run balance, read through the coordinators", async () => {
  const directory = join(home, "cluster");
  const cluster = await startLocalCluster({ shards: 2, directory });
  try {
    const databases = cluster.participants.map(({ shard, postgresUrl: url }) => ({ shard, url }));
    await Promise.all(databases.map((database) => seedAccounts(database, [])));
    const endpoints = cluster.coordinators.map(({ url }) => url).join(",");
    for (let round = 0; round < 2; round += 1) {
      const options = ["--json", "--seconds", "1", "--clients", "4", "--endpoints", endpoints];
      const report = JSON.parse(await runDemo(...options)) as Report;
      expect(report.books).toMatchObject({ balance: true, sumBefore: 1_000_000 });
      expect(report.committed).toBeGreaterThan(0);
      expect(report.books.transfers).toBe(report.committed);
    }
  } finally {
    await cluster.stop();
    removeClusterDirectory(directory);
  }
}, 120_000);

test("an option out of its bounds is refused before anything is started", async () => {
  await expect(runDemo("--shards", "1")).rejects.toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/whole number from 2 to 90/) as string,
  });
});
