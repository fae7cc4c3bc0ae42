/** The bank, shortly: `npm run reads` is the long version. */
import { mkdtempSync, chmodSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { disturb, type Disturbances } from "../../bench/reads/chaos.ts";
import { count, type Counts, type Way } from "../../bench/reads/counting.ts";
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
/** Ways to read that see every transfer whole, and ways that do not. */
const WHOLE: readonly Way[] = ["/v1/reads", "snapshot"];
const PLAIN: readonly Way[] = ["/v1/transactions", "repeatable read"];

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
  "reads and snapshots see every transfer whole, with leaders killed and participants that stand still; others do not",
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
    const readsOf = (way: Way): number => total(({ counts }) => counts[way].reads);
    const fracturedOf = (way: Way): number => total(({ counts }) => counts[way].fractured);
    while (rounds.length < MAX_ROUNDS && WHOLE.some((way) => readsOf(way) < ENOUGH_READS)) {
      rounds.push(await runRound(accounts, expected, tally));
    }
    const killed = total(({ disturbances }) => disturbances.leadersKilled);
    const paused = total(({ disturbances }) => disturbances.participantsPaused);
    const seen = [...WHOLE, ...PLAIN].map(
      (way) => `${readsOf(way)} by ${way}, ${fracturedOf(way)} fractured`,
    );
    process.stdout.write(
      `\n${seen.join("; ")}; ` +
        `${tally.committed} transfers, ${killed} leaders killed, ${paused} times a participant stood still\n`,
    );
    for (const way of WHOLE) {
      expect([way, fracturedOf(way)]).toEqual([way, 0]);
      expect(readsOf(way)).toBeGreaterThanOrEqual(ENOUGH_READS);
    }
    for (const way of PLAIN) expect(fracturedOf(way)).toBeGreaterThan(0);
    expect(killed).toBeGreaterThan(0);
    expect(paused).toBeGreaterThan(0);
  },
  MAX_ROUNDS * 20_000,
);

interface Round {
  readonly counts: Readonly<Record<Way, Counts>>;
  readonly disturbances: Disturbances;
}

async function runRound(
  accounts: ReadonlyMap<string, readonly string[]>,
  expected: bigint,
  tally: Tally,
): Promise<Round> {
  const urls = cluster.coordinators.map(({ url }) => url);
  const untilMs = performance.now() + ROUND_MS;
  const counting = { urls, shards: [...accounts.keys()], expected, clients: 3, untilMs };
  const [, reads, plain, snapshot, repeatable, disturbances] = await Promise.all([
    runWorkload({ urls, clients: 12, durationMs: ROUND_MS, accounts }, tally),
    count({ ...counting, way: "/v1/reads" }),
    count({ ...counting, way: "/v1/transactions" }),
    count({ ...counting, way: "snapshot" }),
    count({ ...counting, way: "repeatable read" }),
    disturb(cluster, untilMs),
  ]);
  const counts = {
    ...{ "/v1/reads": reads, "/v1/transactions": plain },
    ...{ snapshot, "repeatable read": repeatable },
  };
  return { counts, disturbances };
}
