/**
 * Receipts of one-phase transactions, outside of the transactions that write them: found by key and settled. Deleting them is
 * receipt-deletion.ts, which marks how far they may be missing: up to there nothing is claimed.
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
