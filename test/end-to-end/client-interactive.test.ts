/** The built client's and the command line's interactive transactions against a real cluster. */
import { execFile } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { RequestRefusedError, sql, Synod, TransactionAbortedError } from "../../client/sdk.ts";
import { seedAccounts } from "../../demo/accounts.ts";
import {
  type LocalCluster,
  removeClusterDirectory,
  startLocalCluster,
} from "../../demo/local-cluster.ts";
import { eventually } from "../support/wait.ts";

const CLI = join(import.meta.dirname, "..", "..", "dist", "client", "cli.js");
const home = mkdtempSync(join(tmpdir(), "synod-interactive-client-"));
chmodSync(home, 0o755);
let cluster: LocalCluster;
let synod: Synod;

beforeAll(async () => {
  cluster = await startLocalCluster({ shards: 2, directory: join(home, "cluster") });
  synod = new Synod({ endpoints: cluster.coordinators.map(({ url }) => url) });
  await Promise.all(
    cluster.participants.map(({ shard, postgresUrl }, index) =>
      seedAccounts({ shard, url: postgresUrl }, [{ id: ["alice", "bob"][index]!, balance: 100 }]),
    ),
  );
}, 60_000);

afterAll(async () => {
  synod.close();
  await cluster.stop();
  removeClusterDirectory(cluster.directory);
  rmSync(home, { recursive: true, force: true });
});

const balance = async (shard: string): Promise<unknown> => {
  const { results } = await synod.transaction([{ shard, ...sql`select balance from accounts` }]);
  return results[0]?.rows[0]?.["balance"];
};

test("a closure reads, decides and writes on two shards, and all of it is committed", async () => {
  const moved = await synod.begin(async (tx) => {
    const { rows, fields } = await tx.query<{ balance: string }>(
      "s1",
      sql`select balance from accounts where id = ${"alice"} for update`,
    );
    expect(fields).toEqual([{ name: "balance", type: "int8" }]);
    const half = BigInt(rows[0]!.balance) / 2n;
    await tx.query("s1", sql`update accounts set balance = balance - ${half}`);
    await tx.query("s2", "update accounts set balance = balance + $1", [half], {
      expect: { rowCount: 1 },
    });
    return half;
  });
  expect([moved, await balance("s1"), await balance("s2")]).toEqual([50n, "50", "150"]);
});

test("a savepoint takes back what failed under it, on a shard that joined late, too", async () => {
  await synod.begin(async (tx) => {
    await tx.query("s1", sql`update accounts set balance = balance + ${1}`);
    const failed = tx.savepoint(async () => {
      await tx.query("s2", sql`update accounts set balance = balance + ${1}`);
      await tx.query("s1", sql`select ${1} / 0`);
    });
    await expect(failed).rejects.toMatchObject({ code: "sql-error", outcome: "not_started" });
  });
  expect([await balance("s1"), await balance("s2")]).toEqual(["51", "150"]);
});

test("an error of the closure's leaves nothing behind", async () => {
  const run = synod.begin(async (tx) => {
    await tx.query("s1", sql`update accounts set balance = 0`);
    throw new Error("changed my mind");
  });
  await expect(run).rejects.toThrow("changed my mind");
  expect(await balance("s1")).toBe("51");
});

test("a transaction that waited too long is aborted; the closure runs again", async () => {
  let runs = 0;
  await synod.begin(
    async (tx) => {
      runs += 1;
      await tx.query("s1", sql`update accounts set balance = balance + ${1}`);
      if (runs === 1) await new Promise((resolve) => setTimeout(resolve, 1_500));
      await tx.query("s2", sql`update accounts set balance = balance + ${1}`);
    },
    { idleTimeoutMs: 1_000, deadlineMs: 60_000 },
  );
  expect(runs).toBeGreaterThanOrEqual(2);
  expect([await balance("s1"), await balance("s2")]).toEqual(["52", "151"]);
}, 60_000);

test("a closure that was the victim of a deadlock runs again, and both commit", async () => {
  let [runs, arrived] = [0, 0];
  const cross = (first: string, second: string): Promise<void> =>
    synod.begin(async (tx) => {
      runs += 1;
      await tx.query(first, sql`update accounts set balance = balance`);
      arrived += 1;
      await eventually("each has its first row", () => Promise.resolve(arrived >= 2));
      await tx.query(second, sql`update accounts set balance = balance`);
    });
  await Promise.all([cross("s1", "s2"), cross("s2", "s1")]);
  expect(runs).toBeGreaterThanOrEqual(3);
});

test("a leader that is killed between two statements costs a run, and no money", async () => {
  let runs = 0;
  await synod.begin(
    async (tx) => {
      runs += 1;
      await tx.query("s1", sql`update accounts set balance = balance - ${1}`);
      if (runs === 1) await cluster.kill((await cluster.leader())!);
      await tx.query("s2", sql`update accounts set balance = balance + ${1}`);
    },
    { deadlineMs: 60_000 },
  );
  expect(runs).toBeGreaterThanOrEqual(2);
  expect([await balance("s1"), await balance("s2")]).toEqual(["51", "152"]);
}, 90_000);

test("the single calls say what the closure would have been told", async () => {
  const { interactive } = synod;
  const { id } = await interactive.begin({ idleTimeoutMs: 30_000 });
  await interactive.savepoint(id, 1, { savepoint: "one" });
  await expect(interactive.savepoint(id, 3, { release: "one" })).rejects.toBeInstanceOf(
    RequestRefusedError,
  );
  await interactive.rollback(id);
  await expect(interactive.commit(id)).rejects.toBeInstanceOf(TransactionAbortedError);
});

test("the command line holds a transaction open between commands", async () => {
  const env = {
    PATH: process.env["PATH"],
    SYNOD_ENDPOINTS: cluster.coordinators.map(({ url }) => url).join(","),
  };
  const cli = async (...args: readonly string[]): Promise<string> =>
    (await promisify(execFile)(process.execPath, [CLI, ...args], { cwd: home, env })).stdout;
  const begin = ["tx", "begin", "--idle-timeout", "60000"];
  const id = (await cli(...begin)).trim();
  const credit = ["--op", "s1=update accounts set balance = balance + $1", "--param", "9"];
  await cli("tx", "exec", id, "--seq", "1", ...credit, "--expect", "1");
  await cli("tx", "exec", id, "--seq", "2", "--savepoint", "before_fee");
  const read = ["--op", "s1=select balance from accounts"];
  expect(await cli("tx", "exec", id, "--seq", "3", ...read)).toBe("BALANCE\n60\n");
  expect(await cli("tx", "commit", id)).toBe(`transaction  ${id}\noutcome      committed\n`);
  const snapshot = (await cli(...begin, "--isolation", "snapshot", "--shards", "s1,s2")).trim();
  expect(await cli("tx", "exec", snapshot, "--seq", "1", ...read)).toBe("BALANCE\n60\n");
  await cli("tx", "rollback", snapshot);
  const other = (await cli(...begin)).trim();
  await cli("tx", "exec", other, "--seq", "1", ...credit);
  expect(await cli("tx", "rollback", other)).toMatch(/rolled back/);
  expect(await balance("s1")).toBe("60");
  await expect(cli("tx", "commit", other)).rejects.toMatchObject({ code: 3 });
}, 90_000);
