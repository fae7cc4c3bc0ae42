/** The bank, shortly: `npm run reads` is the long version. */
import { mkdtempSync, chmodSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { disturb } from "../../bench/reads/chaos.ts";
import { count } from "../../bench/reads/counting.ts";
import { seedAccounts } from "../../demo/accounts.ts";
import {
  type LocalCluster,
  removeClusterDirectory,
  startLocalCluster,
} from "../../demo/local-cluster.ts";
import { Tally } from "../../demo/transfers/tally.ts";
import { runWorkload } from "../../demo/transfers/workload.ts";

const ACCOUNTS_PER_SHARD = 20;
const OPENING_BALANCE = 10_000;
const DURATION_MS = 9_000;

const home = mkdtempSync(join(tmpdir(), "synod-reads-"));
chmodSync(home, 0o755);
let cluster: LocalCluster;

beforeAll(async () => {
  cluster = await startLocalCluster({ shards: 2, directory: join(home, "cluster") });
}, 60_000);

afterAll(async () => {
  await cluster.stop();
  removeClusterDirectory(cluster.directory);
  rmSync(home, { recursive: true, force: true });
});

test("reads see every transfer whole, with leaders killed and participants that stand still; plain ones do not", async () => {
  const shards = cluster.participants.map(({ shard }) => shard);
  const accounts = new Map(
    shards.map((shard) => [
      shard,
      Array.from({ length: ACCOUNTS_PER_SHARD }, (_, index) => `${shard}-${index}`),
    ]),
  );
  for (const { shard, postgresUrl: url } of cluster.participants) {
    const opening = (accounts.get(shard) ?? []).map((id) => ({ id, balance: OPENING_BALANCE }));
    await seedAccounts({ shard, url }, opening);
  }
  const urls = cluster.coordinators.map(({ url }) => url);
  const untilMs = performance.now() + DURATION_MS;
  const expected = BigInt(shards.length * ACCOUNTS_PER_SHARD * OPENING_BALANCE);
  const counting = { urls, shards, expected, clients: 4, untilMs };
  const tally = new Tally(performance.now());
  const [, whole, plain, disturbances] = await Promise.all([
    runWorkload({ urls, clients: 12, durationMs: DURATION_MS, accounts }, tally),
    count({ ...counting, path: "/v1/reads" }),
    count({ ...counting, path: "/v1/transactions" }),
    disturb(cluster, untilMs),
  ]);
  process.stdout.write(
    `\n${whole.reads} reads, ${whole.fractured} fractured; ${plain.reads} plain reads, ${plain.fractured} fractured; ` +
      `${tally.committed} transfers, ${disturbances.leadersKilled} leaders killed, ` +
      `${disturbances.participantsPaused} times a participant stood still\n`,
  );
  expect(whole.fractured).toBe(0);
  expect(whole.reads).toBeGreaterThan(20);
  expect(plain.fractured).toBeGreaterThan(0);
  expect(disturbances.leadersKilled).toBeGreaterThan(0);
  expect(disturbances.participantsPaused).toBeGreaterThan(0);
}, 60_000);
