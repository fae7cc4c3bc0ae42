/** Reads the books from the shards' databases themselves, past the cluster. */
import pg from "pg";
import type { ShardDatabase } from "../accounts.ts";
import type { Entry, ShardBooks } from "./books.ts";
import { awaitFinished, PREPARED, PREPARED_DEADLINE_MS } from "./prepared.ts";

/** Waits, up to the deadline, for prepared branches to be finished, then reads; what is left then is in the result. */
export async function readBooks(
  databases: readonly ShardDatabase[],
  preparedDeadlineMs = PREPARED_DEADLINE_MS,
): Promise<readonly ShardBooks[]> {
  await awaitFinished(
    () => Promise.all(databases.map((database) => withClient(database, readPrepared))),
    preparedDeadlineMs,
  );
  return Promise.all(databases.map((database) => withClient(database, readShard(database.shard))));
}

async function withClient<T>(
  { url }: ShardDatabase,
  read: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await read(client);
  } finally {
    await client.end();
  }
}

/** Balances and entries are of one snapshot. */
function readShard(shard: string): (client: pg.Client) => Promise<ShardBooks> {
  return async (client) => {
    await client.query("begin isolation level repeatable read read only");
    const balances = await client.query<[string, string]>({
      text: "select id, balance from accounts",
      rowMode: "array",
    });
    const entries = await client.query<[string, string, string]>({
      text: "select transfer_id, account_id, amount from transfer_entries",
      rowMode: "array",
    });
    const prepared = await readPrepared(client);
    await client.query("commit");
    return {
      shard,
      balances: new Map(balances.rows.map(([id, balance]) => [id, Number(balance)])),
      entries: entries.rows.map(([transferId, accountId, amount]): Entry => ({
        transferId,
        accountId,
        amount: Number(amount),
      })),
      prepared,
    };
  };
}

async function readPrepared(client: pg.Client): Promise<readonly string[]> {
  const result = await client.query<{ gid: string }>(PREPARED);
  return result.rows.map(({ gid }) => gid);
}
