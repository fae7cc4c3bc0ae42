/** The tables of the loads, made past the cluster, and the mark that every transaction leaves in each of its branches. */
import type { Operation } from "../../../client/sdk.ts";
import { withClient } from "../database.ts";
import type { Database } from "../cluster.ts";

/** Of each shard; the load goes from one to the next, so that lists stay short. */
export const LIST_KEYS = 8_000;

const TABLES = `
  create table marks (transaction text not null, xid xid8 not null default pg_current_xact_id());
  create table lists (key text primary key, entries bigint[] not null default '{}');
  create table counters (name text primary key, value bigint not null)`;
const LISTS = "insert into lists (key) select 'k' || n from generate_series(0, $1::int - 1) as n";

export async function createTables({ url }: Database): Promise<void> {
  await withClient(url, async (client) => {
    await client.query(TABLES);
    await client.query(LISTS, [LIST_KEYS]);
  });
}

/** Not unique on purpose: what is done twice must show, not be prevented here. */
export function mark(shard: string, transaction: string): Operation {
  return { shard, sql: "insert into marks (transaction) values ($1)", params: [transaction] };
}
