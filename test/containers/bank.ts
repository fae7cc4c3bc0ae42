/**
 * The bank: money moves between accounts on all shards while a nemesis works, and afterwards the databases themselves must hold what
 * the clients were told. The books are cumulative: each audit judges the transfers of earlier scenarios too.
 */
import { setTimeout } from "node:timers/promises";
import pg from "pg";
import { type Account, seedAccounts } from "../../demo/accounts.ts";
import { readBooks } from "../../demo/transfers/audit.ts";
import { balanceBooks, type Books } from "../../demo/transfers/books.ts";
import { type SentTransfer, Tally } from "../../demo/transfers/tally.ts";
import { runWorkload } from "../../demo/transfers/workload.ts";
import { eventually } from "../support/wait.ts";
import type { Cluster, Database } from "./cluster.ts";
import type { Fault, Nemesis } from "./nemesis.ts";

/** What one scenario showed. */
export interface Evidence {
  readonly victim: string;
  readonly kills: number;
  readonly acknowledged: number;
  readonly aborted: number;
  readonly acknowledgedAfterHeal: number;
  readonly longestPauseMs: number;
  /** From the heal until no branch was left that had been prepared before it. */
  readonly inDoubtAfterHealMs: number;
  readonly lowestBalance: number;
  readonly books: Books;
}

export const IN_DOUBT_BOUND_MS = 5_000;

const ACCOUNTS_PER_SHARD = 100;
const OPENING_BALANCE = 1_000;
const CLIENTS = 8;
const BEFORE_MS = 3_000;
const MEANWHILE_MS = 6_000;
const AFTER_MS = 6_000;
/** The load ends when the scenario says so; this only bounds one that hangs. */
const LOAD_BOUND_MS = 170_000;
const FIRST_COMMIT_DEADLINE_MS = 30_000;

export class Bank {
  readonly #cluster: Cluster;
  readonly #accounts: ReadonlyMap<string, readonly Account[]>;
  readonly #sent = new Map<string, SentTransfer>();

  private constructor(cluster: Cluster) {
    this.#cluster = cluster;
    this.#accounts = new Map(cluster.databases.map(({ shard }) => [shard, openingAccounts(shard)]));
  }

  static async open(cluster: Cluster): Promise<Bank> {
    const bank = new Bank(cluster);
    for (const { shard, url } of cluster.databases) {
      await seedAccounts({ shard, url }, bank.#accounts.get(shard) ?? []);
    }
    return bank;
  }

  /** Load before, while and after the nemesis has its way. Resolves when every transfer has an outcome and the books are read. */
  async moveMoneyUnder(nemesis: Nemesis): Promise<Evidence> {
    const tally = new Tally(performance.now());
    const end = new AbortController();
    const load = this.#startLoad(tally, end.signal);
    let fault: Fault | undefined;
    try {
      await eventually("a first commit", () => tally.committed > 0, FIRST_COMMIT_DEADLINE_MS);
      await setTimeout(BEFORE_MS);
      fault = await nemesis.inject(this.#cluster);
      await setTimeout(MEANWHILE_MS);
    } finally {
      await fault?.heal();
    }
    const acknowledgedBefore = tally.committed;
    const healed = awaitOldBranchesFinished(this.#cluster.databases);
    await Promise.all([healed, setTimeout(AFTER_MS)]).finally(() => {
      end.abort();
    });
    await load;
    const { books, lowestBalance } = await this.#audit(tally);
    return {
      victim: fault.victim,
      kills: fault.kills,
      acknowledged: tally.committed,
      aborted: tally.aborted,
      acknowledgedAfterHeal: tally.committed - acknowledgedBefore,
      longestPauseMs: tally.longestPause.ms,
      inDoubtAfterHealMs: await healed,
      lowestBalance,
      books,
    };
  }

  async #startLoad(tally: Tally, signal: AbortSignal): Promise<void> {
    const accounts = [...this.#accounts].map(
      ([shard, list]) => [shard, list.map(({ id }) => id)] as const,
    );
    const urls = this.#cluster.coordinators.map(({ url }) => url);
    await runWorkload(
      { urls, clients: CLIENTS, durationMs: LOAD_BOUND_MS, signal, accounts: new Map(accounts) },
      tally,
    );
    tally.notePause(performance.now());
  }

  async #audit(tally: Tally): Promise<{ readonly books: Books; readonly lowestBalance: number }> {
    for (const [id, sent] of tally.sent) this.#sent.set(id, sent);
    const shards = await readBooks(this.#cluster.databases, IN_DOUBT_BOUND_MS);
    const openings = [...this.#accounts.values()].flat();
    const books = balanceBooks(
      shards,
      this.#sent,
      new Map(openings.map(({ id, balance }) => [id, balance])),
    );
    const balances = shards.flatMap((shard) => [...shard.balances.values()]);
    return { books, lowestBalance: Math.min(...balances) };
  }
}

function openingAccounts(shard: string): readonly Account[] {
  return Array.from({ length: ACCOUNTS_PER_SHARD }, (_, index) => {
    return { id: `${shard}-${index}`, balance: OPENING_BALANCE };
  });
}

/** How long the branches that are prepared now take to be finished; the load goes on and prepares others. */
async function awaitOldBranchesFinished(databases: readonly Database[]): Promise<number> {
  const startedAtMs = performance.now();
  const old = new Set((await preparedBranches(databases)).values());
  const areFinished = async (): Promise<boolean> =>
    (await preparedBranches(databases)).every((gid) => !old.has(gid));
  await eventually("branches of before the heal are finished", areFinished, IN_DOUBT_BOUND_MS);
  return performance.now() - startedAtMs;
}

async function preparedBranches(databases: readonly Database[]): Promise<readonly string[]> {
  const lists = await Promise.all(databases.map(({ url }) => preparedIn(url)));
  return lists.flat();
}

async function preparedIn(url: string): Promise<readonly string[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<{ gid: string }>("select gid from pg_prepared_xacts");
    return rows.map(({ gid }) => gid);
  } finally {
    await client.end();
  }
}
