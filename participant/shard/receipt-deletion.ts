/**
 * Old receipts are deleted, and those that are too many or too large, oldest first.
 *
 * Deleting makes "there is no receipt" ambiguous: calling an old committed transaction aborted would be a lie, and running an
 * old key again would do its work twice. So each deletion also moves two marks, in the same transaction. Up to a place in the
 * order of transaction ids (ballot, sequence) receipts may be missing; and up to a time keys may be.
 *
 * Tombstones move neither: of a transaction that did not commit "aborted" may be said again, and the place in its id may be
 * one that nobody has reached, or ever will.
 */
import type { Knex } from "knex";
import { assert } from "../../shared/model/assert.ts";
import { transactionOrigin, type TransactionId } from "../../shared/model/ids.ts";
import type { ReceiptLimits, ReceiptSurvey } from "../receipt-retention.ts";

/** Row, index entries and id, roughly, beside the results. */
const ROW_OVERHEAD_BYTES = 300;

const SURVEY = `
  select count(*)::int as entries,
    coalesce(sum(${ROW_OVERHEAD_BYTES} + coalesce(pg_column_size(results), 0)), 0)::float8 as bytes,
    (extract(epoch from clock_timestamp() - min(committed_at)) * 1000)::float8 as oldest_age_ms,
    (clock_timestamp() - ? * interval '1 millisecond')::text as old_up_to
  from synod.receipts`;
/** The newest that is to go, counted from the newest of all. */
const SURPLUS = `
  select greatest(max(committed_at), ?::timestamptz)::text as up_to
  from (
    select committed_at, row_number() over newest_first as entries,
      sum(${ROW_OVERHEAD_BYTES} + coalesce(pg_column_size(results), 0)) over newest_first as bytes
    from synod.receipts
    window newest_first as (order by committed_at desc, transaction_id rows unbounded preceding)
  ) as counted
  where entries > ? or bytes > ?`;
const KEYS_FORGOTTEN = `
  select coalesce(ceil(extract(epoch from keys_forgotten_up_to) * 1000), 0)::float8 as up_to_ms
  from synod.identity`;

interface SurveyRow {
  readonly entries: number;
  readonly bytes: number;
  readonly oldest_age_ms: number | null;
  readonly old_up_to: string;
}

export async function surveyReceipts(knex: Knex, limits: ReceiptLimits): Promise<ReceiptSurvey> {
  const { maxAgeMs, maxEntries, maxBytes } = limits;
  const [row] = (await knex.raw<{ rows: SurveyRow[] }>(SURVEY, [maxAgeMs])).rows;
  assert(row !== undefined, "an aggregate answers one row");
  const { entries, bytes, old_up_to: oldUpTo } = row;
  const survey = { entries, bytes, oldestAgeMs: row.oldest_age_ms ?? undefined };
  if (entries <= maxEntries && bytes <= maxBytes) return { ...survey, surplusUpTo: oldUpTo };
  const bindings = [oldUpTo, maxEntries, maxBytes];
  const found = await knex.raw<{ rows: { up_to: string }[] }>(SURPLUS, bindings);
  return { ...survey, surplusUpTo: found.rows[0]?.up_to ?? oldUpTo };
}

/** When the newest keyed receipt that is deleted was written; 0 when none is. */
export async function readKeysForgottenUpToMs(knex: Knex): Promise<number> {
  const { rows } = await knex.raw<{ rows: { up_to_ms: number }[] }>(KEYS_FORGOTTEN);
  return rows[0]?.up_to_ms ?? 0;
}

interface Doomed {
  readonly transaction_id: TransactionId;
  readonly is_tombstone: boolean;
  readonly is_keyed: boolean;
  readonly at: string;
  readonly at_ms: number;
}

/**
 * Deletes up to `limit` receipts that were written up to then, oldest first; resolves with how many. `forgetting` is called
 * before any of them can be missed, with the time up to which keys will be forgotten.
 */
export async function deleteReceiptsUpTo(
  knex: Knex,
  upTo: string,
  limit: number,
  forgetting: (upToMs: number) => void,
): Promise<number> {
  return knex.transaction(async (trx) => {
    const doomed = await trx("synod.receipts")
      .whereRaw("committed_at <= ?::timestamptz", [upTo])
      .orderBy("committed_at")
      .limit(limit)
      .forUpdate()
      .skipLocked()
      .select<Doomed[]>(
        "transaction_id",
        trx.raw("results is null as is_tombstone"),
        trx.raw("idempotency_key is not null as is_keyed"),
        trx.raw("committed_at::text as at"),
        trx.raw("ceil(extract(epoch from committed_at) * 1000)::float8 as at_ms"),
      );
    if (doomed.length === 0) return 0;
    const ids = doomed.map(({ transaction_id }) => transaction_id);
    await moveMark(trx, doomed);
    const lastKeyed = doomed.filter(({ is_keyed }) => is_keyed).at(-1);
    if (lastKeyed !== undefined) {
      forgetting(lastKeyed.at_ms);
      await moveKeyMark(trx, lastKeyed.at);
    }
    await trx("synod.receipts").whereIn("transaction_id", ids).delete();
    return ids.length;
  });
}

async function moveKeyMark(trx: Knex.Transaction, upTo: string): Promise<void> {
  await trx("synod.identity").update({
    keys_forgotten_up_to: trx.raw("greatest(keys_forgotten_up_to, ?::timestamptz)", [upTo]),
  });
}

async function moveMark(trx: Knex.Transaction, doomed: readonly Doomed[]): Promise<void> {
  const committed = doomed.filter(({ is_tombstone }) => !is_tombstone);
  const origins = committed.flatMap(({ transaction_id: id }) => transactionOrigin(id) ?? []);
  const last = origins.sort((a, b) => a.ballot - b.ballot || a.sequence - b.sequence).at(-1);
  if (last === undefined) return;
  await trx("synod.identity")
    .whereRaw("(forgotten_ballot, forgotten_sequence) < (?, ?)", [last.ballot, last.sequence])
    .update({ forgotten_ballot: last.ballot, forgotten_sequence: last.sequence });
}
