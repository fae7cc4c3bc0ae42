/** The bank, shortly: `npm run reads` is the long version. */
import { mkdtempSync, chmodSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { disturb, type Disturbances } from "../../bench/reads/chaos.ts";
import { count, type Counts } from "../../bench/reads/counting.ts";
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
const ROUND_MS = 9_000;
/** A slow machine gets more rounds for them. */
const ENOUGH_READS = 20;
const MAX_ROUNDS = 4;

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

test(
  "reads see every transfer whole, with leaders killed and participants that stand still; plain ones do not",
  async () => {
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
    const expected = BigInt(shards.length * ACCOUNTS_PER_SHARD * OPENING_BALANCE);
    const tally = new Tally(performance.now());
    const rounds: Round[] = [];
    const total = (of: (round: Round) => number): number =>
      rounds.reduce((sum, round) => sum + of(round), 0);
    while (rounds.length < MAX_ROUNDS && total(({ whole }) => whole.reads) < ENOUGH_READS) {
      rounds.push(await runRound(accounts, expected, tally));
    }
    const whole = {
      reads: total((round) => round.whole.reads),
      fractured: total((round) => round.whole.fractured),
    };
    const plain = {
      reads: total((round) => round.plain.reads),
      fractured: total((round) => round.plain.fractured),
    };
    const killed = total(({ disturbances }) => disturbances.leadersKilled);
    const paused = total(({ disturbances }) => disturbances.participantsPaused);
    process.stdout.write(
      `\n${whole.reads} reads, ${whole.fractured} fractured; ${plain.reads} plain reads, ${plain.fractured} fractured; ` +
        `${tally.committed} transfers, ${killed} leaders killed, ${paused} times a participant stood still\n`,
    );
    expect(whole.fractured).toBe(0);
    expect(whole.reads).toBeGreaterThanOrEqual(ENOUGH_READS);
    expect(plain.fractured).toBeGreaterThan(0);
    expect(killed).toBeGreaterThan(0);
    expect(paused).toBeGreaterThan(0);
  },
  MAX_ROUNDS * 20_000,
);

interface Round {
  readonly whole: Counts;
  readonly plain: Counts;
  readonly disturbances: Disturbances;
}

async function runRound(
  accounts: ReadonlyMap<string, readonly string[]>,
  expected: bigint,
  tally: Tally,
): Promise<Round> {
  const urls = cluster.coordinators.map(({ url }) => url);
  const untilMs = performance.now() + ROUND_MS;
  const counting = { urls, shards: [...accounts.keys()], expected, clients: 4, untilMs };
  const [, whole, plain, disturbances] = await Promise.all([
    runWorkload({ urls, clients: 12, durationMs: ROUND_MS, accounts }, tally),
    count({ ...counting, path: "/v1/reads" }),
    count({ ...counting, path: "/v1/transactions" }),
    disturb(cluster, untilMs),
  ]);
  return { whole, plain, disturbances };
}
