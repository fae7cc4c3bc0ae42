/**
 * Receipts of one-phase transactions, outside of the transactions that write them: found, settled, and deleted when old.
 *
 * Deleting makes "there is no receipt" ambiguous, and calling an old committed transaction aborted would be a lie. So each
 * deletion also moves a mark, in the same transaction: up to this place in the order of transaction ids (ballot,
 * sequence) receipts may be missing, and nothing is claimed.
 */
import type { Knex } from "knex";
import type pg from "pg";
import type { OperationResult } from "../../shared/model/api.ts";
import { assert } from "../../shared/model/assert.ts";
import { transactionOrigin, type TransactionId } from "../../shared/model/ids.ts";
import { ask, unreachableBecause } from "./ask.ts";
import type { Receipt } from "./shard.ts";

const FIND_BY_KEY = `
  select transaction_id, idempotency_key, fingerprint, results
  from synod.receipts where idempotency_key = $1`;
/** The update changes nothing, but it makes the answer wait for replication as a write does. */
const SETTLE = `
  insert into synod.receipts (transaction_id) values (?)
  on conflict (transaction_id) do update set transaction_id = excluded.transaction_id
  returning transaction_id, idempotency_key, fingerprint, results, xmax = 0 as is_new`;

type ReceiptRow = Readonly<Record<string, unknown>>;

interface Mark {
  readonly forgotten_ballot: string;
  readonly forgotten_sequence: string;
}

export function receiptFrom(row: ReceiptRow): Receipt {
  const results = row["results"] as string | null;
  return {
    transactionId: row["transaction_id"] as TransactionId,
    idempotencyKey: row["idempotency_key"] as string | null,
    fingerprint: row["fingerprint"] as string | null,
    results: results === null ? null : (JSON.parse(results) as readonly OperationResult[]),
  };
}

export async function findReceiptByKey(pool: pg.Pool, key: string): Promise<Receipt | undefined> {
  const [row] = await ask(pool, FIND_BY_KEY, [key]);
  return row === undefined ? undefined : receiptFrom(row);
}

/** Waits for a transaction that is just committing under the same id. Rejects with `ShardUnreachable`. */
export async function settleReceipt(
  knex: Knex,
  transactionId: TransactionId,
): Promise<Receipt | "forgotten"> {
  try {
    return await knex.transaction(async (trx) => {
      const { rows } = await trx.raw<{ rows: ReceiptRow[] }>(SETTLE, [transactionId]);
      const [row] = rows;
      assert(row !== undefined, "an upsert returns its row");
      if (row["is_new"] === true && isForgotten(await readMark(trx), transactionId)) {
        await trx("synod.receipts").where({ transaction_id: transactionId }).delete();
        return "forgotten";
      }
      return receiptFrom(row);
    });
  } catch (error) {
    throw unreachableBecause(error);
  }
}

async function readMark(trx: Knex.Transaction): Promise<Mark> {
  const mark = await trx<Mark>("synod.identity").first("forgotten_ballot", "forgotten_sequence");
  assert(mark !== undefined, "a migrated shard has an identity");
  return mark;
}

function isForgotten(mark: Mark, transactionId: TransactionId): boolean {
  const origin = transactionOrigin(transactionId);
  if (origin === undefined) return false;
  const ballot = Number(mark.forgotten_ballot);
  const sequence = Number(mark.forgotten_sequence);
  return origin.ballot < ballot || (origin.ballot === ballot && origin.sequence <= sequence);
}

/** Deletes up to `limit` receipts older than `maxAgeMs` by the database's clock; resolves with how many. */
export async function deleteOldReceipts(
  knex: Knex,
  maxAgeMs: number,
  limit: number,
): Promise<number> {
  return knex.transaction(async (trx) => {
    const old = await trx("synod.receipts")
      .whereRaw("committed_at < clock_timestamp() - ? * interval '1 millisecond'", [maxAgeMs])
      .orderBy("committed_at")
      .limit(limit)
      .forUpdate()
      .skipLocked()
      .select<{ transaction_id: TransactionId }[]>("transaction_id");
    if (old.length === 0) return 0;
    const ids = old.map(({ transaction_id }) => transaction_id);
    await moveMark(trx, ids);
    await trx("synod.receipts").whereIn("transaction_id", ids).delete();
    return ids.length;
  });
}

async function moveMark(trx: Knex.Transaction, ids: readonly TransactionId[]): Promise<void> {
  const origins = ids.flatMap((id) => transactionOrigin(id) ?? []);
  const last = origins.sort((a, b) => a.ballot - b.ballot || a.sequence - b.sequence).at(-1);
  if (last === undefined) return;
  await trx("synod.identity")
    .whereRaw("(forgotten_ballot, forgotten_sequence) < (?, ?)", [last.ballot, last.sequence])
    .update({ forgotten_ballot: last.ballot, forgotten_sequence: last.sequence });
}
