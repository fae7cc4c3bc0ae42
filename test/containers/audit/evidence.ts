/** Joins what clients were told, what the logs decided and what the shards hold into the evidence of one run. */
import type pg from "pg";
import { askedOf, sayingsOf } from "../../histories/audit/feeds.ts";
import type { Evidence, NodeLog, ShardEvidence } from "../../histories/audit/evidence.ts";
import type { Transaction } from "../../histories/history/transactions.ts";
import type { Database } from "../cluster.ts";
import { withClient } from "../database.ts";

const XIDS_PER_QUERY = 10_000;

const MARKS = "select transaction, xid::text as xid from marks";
const PREPARED = `
  select gid, null as xid from pg_prepared_xacts where database = current_database()`;
const STATUSES = `
  select xid, pg_xact_status(xid::xid8) as status from unnest($1::text[]) as xid
  where pg_xact_status(xid::xid8) in ('committed', 'aborted')`;

export async function gatherEvidence(
  transactions: readonly Transaction[],
  logs: readonly NodeLog[],
  databases: readonly Database[],
): Promise<Evidence> {
  const shards = await Promise.all(databases.map((database) => readShard(database, logs)));
  return { asked: transactions.map(askedOf), sayings: sayingsOf(transactions), logs, shards };
}

function readShard({ shard, url }: Database, logs: readonly NodeLog[]): Promise<ShardEvidence> {
  return withClient(url, async (client) => {
    const rows = await rowsOf<ShardEvidence["rows"][number]>(client, MARKS);
    const prepared = await rowsOf<ShardEvidence["prepared"][number]>(client, PREPARED);
    const voted = new Set(
      logs.flatMap(({ decisions }) =>
        decisions.flatMap(({ branches }) =>
          branches.filter((branch) => branch.shard === shard).map(({ xid }) => xid),
        ),
      ),
    );
    const endings: ShardEvidence["endings"][number][] = [];
    const xids = [...voted];
    for (let from = 0; from < xids.length; from += XIDS_PER_QUERY) {
      const some = xids.slice(from, from + XIDS_PER_QUERY);
      endings.push(...(await rowsOf<ShardEvidence["endings"][number]>(client, STATUSES, [some])));
    }
    return { shard, rows, prepared, endings };
  });
}

async function rowsOf<Row extends object>(
  client: pg.Client,
  text: string,
  values: readonly unknown[] = [],
): Promise<readonly Row[]> {
  return (await client.query<Row>(text, [...values])).rows;
}
