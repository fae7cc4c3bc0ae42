/**
 * The demo's view of a cluster that runs already: accounts are opened and books are read through the coordinators, because the
 * databases cannot be reached from outside. Books are read when the transfers are over, page by page. What was there before
 * the run, of earlier ones, counts as opening balances.
 */
import { z } from "zod";
import { newIdempotencyKey, type Operation, type Synod } from "../../client/sdk.ts";
import type { Account } from "../accounts.ts";
import type { Entry, ShardBooks } from "./books.ts";
import { awaitFinished, PREPARED, PREPARED_DEADLINE_MS } from "./prepared.ts";

/** What a shard held before the run. */
export interface Opening {
  readonly shard: string;
  readonly balances: ReadonlyMap<string, number>;
  /** Entries up to this id are of earlier runs. */
  readonly lastEntryId: string;
}

const PAGE_ROWS = 1_000;

const OPEN = `insert into accounts (id, balance)
  select id, balance from json_to_recordset($1::json) as opened (id text, balance bigint)
  on conflict (id) do nothing`;
const LAST_ENTRY = "select coalesce(max(id), 0) as last from transfer_entries";
const BALANCES = "select id, balance from accounts where id > $1 order by id limit $2";
const ENTRIES = `select id, transfer_id, account_id, amount from transfer_entries
  where id > $1 order by id limit $2`;

const LastRow = z.object({ last: z.string() });
const BalanceRow = z.object({ id: z.string(), balance: z.string() });
const EntryRow = z.object({
  id: z.string(),
  transfer_id: z.string(),
  account_id: z.string(),
  amount: z.string(),
});
const PreparedRow = z.object({ gid: z.string() });

/** Opens the accounts that are missing; what exists keeps its balance. Needs the tables of migrations/demo-accounts.ts. */
export async function openAccounts(
  synod: Synod,
  accounts: ReadonlyMap<string, readonly Account[]>,
): Promise<readonly Opening[]> {
  const operations = [...accounts].map(([shard, opened]): Operation => {
    return { shard, sql: OPEN, params: [JSON.stringify(opened)] };
  });
  await synod.transaction(operations, { idempotencyKey: newIdempotencyKey() });
  return Promise.all([...accounts.keys()].map((shard) => readOpening(synod, shard)));
}

async function readOpening(synod: Synod, shard: string): Promise<Opening> {
  const rows = await readRows(synod, { shard, sql: LAST_ENTRY }, LastRow);
  return {
    shard,
    balances: await readBalances(synod, shard),
    lastEntryId: rows[0]?.last ?? "0",
  };
}

/** As `readBooks` in audit.ts, but balances and entries are of two moments: nobody else must transfer meanwhile. */
export async function readBooksThrough(
  synod: Synod,
  openings: readonly Opening[],
): Promise<readonly ShardBooks[]> {
  const readPrepared = ({ shard }: Opening): Promise<readonly string[]> =>
    readRows(synod, { shard, sql: PREPARED }, PreparedRow).then((rows) =>
      rows.map(({ gid }) => gid),
    );
  await awaitFinished(() => Promise.all(openings.map(readPrepared)), PREPARED_DEADLINE_MS);
  return Promise.all(
    openings.map(async (opening) => ({
      shard: opening.shard,
      balances: await readBalances(synod, opening.shard),
      entries: await readEntries(synod, opening),
      prepared: await readPrepared(opening),
    })),
  );
}

async function readBalances(synod: Synod, shard: string): Promise<ReadonlyMap<string, number>> {
  const rows = await readPages(synod, { shard, sql: BALANCES }, BalanceRow, "");
  return new Map(rows.map(({ id, balance }) => [id, Number(balance)]));
}

async function readEntries(synod: Synod, { shard, lastEntryId }: Opening): Promise<Entry[]> {
  const rows = await readPages(synod, { shard, sql: ENTRIES }, EntryRow, lastEntryId);
  return rows.map((row) => ({
    transferId: row.transfer_id,
    accountId: row.account_id,
    amount: Number(row.amount),
  }));
}

type Question = Omit<Operation, "params"> & { readonly shard: string; readonly sql: string };

async function readPages<Row extends { readonly id: string }>(
  synod: Synod,
  question: Question,
  schema: z.ZodType<Row>,
  after: string,
): Promise<readonly Row[]> {
  const found: Row[] = [];
  for (let last = after; ; last = found.at(-1)?.id ?? last) {
    const page = await readRows(synod, { ...question, params: [last, PAGE_ROWS] }, schema);
    found.push(...page);
    if (page.length < PAGE_ROWS) return found;
  }
}

async function readRows<Row>(
  synod: Synod,
  operation: Operation,
  schema: z.ZodType<Row>,
): Promise<readonly Row[]> {
  const { results } = await synod.read([operation]);
  return z.array(schema).parse(results[0]?.rows);
}
