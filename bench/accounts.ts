/** The benchmark's accounts, its sums, and who may touch what: each client has accounts of its own, so nobody waits for a lock. */
import pg from "pg";
import { seedAccounts, type ShardDatabase } from "../demo/accounts.ts";

export const ACCOUNTS_PER_SHARD = 10_000;
const OPENING_BALANCE = 1_000_000;

export const DEBIT = "update accounts set balance = balance - $1 where id = $2 and balance >= $1";
export const CREDIT = "update accounts set balance = balance + $1 where id = $2";

function accountId(shard: string, index: number): string {
  return `${shard}-${index.toString().padStart(6, "0")}`;
}

export async function openAccounts(databases: readonly ShardDatabase[]): Promise<void> {
  await Promise.all(
    databases.map((database) =>
      seedAccounts(
        database,
        Array.from({ length: ACCOUNTS_PER_SHARD }, (_, index) => {
          return { id: accountId(database.shard, index), balance: OPENING_BALANCE };
        }),
      ),
    ),
  );
}

/** One of the accounts that belong to this client, at random. */
export function ownAccount(shard: string, client: number, clients: number): string {
  const own = Math.floor((ACCOUNTS_PER_SHARD - client - 1) / clients) + 1;
  return accountId(shard, client + clients * Math.floor(Math.random() * own));
}

export interface Sums {
  readonly expected: number;
  readonly found: number;
  readonly preparedLeft: number;
}

/** Transfers keep the total; each one-shard transaction adds one. */
export async function checkSums(databases: readonly ShardDatabase[], added: number): Promise<Sums> {
  const perShard = await Promise.all(databases.map(readShard));
  const total = (values: readonly number[]): number =>
    values.reduce((sum, value) => sum + value, 0);
  return {
    expected: databases.length * ACCOUNTS_PER_SHARD * OPENING_BALANCE + added,
    found: total(perShard.map(({ sum }) => sum)),
    preparedLeft: total(perShard.map(({ prepared }) => prepared)),
  };
}

async function readShard({ url }: ShardDatabase): Promise<{ sum: number; prepared: number }> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<{ sum: string; prepared: string }>(
      `select (select sum(balance) from accounts) as sum,
              (select count(*) from pg_prepared_xacts where database = current_database()) as prepared`,
    );
    return { sum: Number(rows[0]?.sum), prepared: Number(rows[0]?.prepared) };
  } finally {
    await client.end();
  }
}
