/**
 * The statements that the session itself puts around the client's.
 *
 *   begin · mark · [receipt of the key] · client's statements · look     then   prepare transaction | receipt · commit
 *
 * `mark` leaves a token in a setting that lives as long as the transaction; `look` reads it back: still there means that
 * no statement has ended the transaction that we began. `look` also tells the role, because a branch that was prepared
 * under another role could never be finished, and the xid, null when nothing was written and no row locked.
 * Every name is qualified: the search path is the client's to change.
 */
import type { Isolation } from "../../shared/model/api.ts";
import type { GlobalId } from "../../shared/model/ids.ts";
import type { Step } from "./batch.ts";
import type { Receipt } from "./shard.ts";
import type { StatementCache } from "./statement-cache.ts";

const BEGIN: Readonly<Record<Isolation, string>> = {
  "read committed": "begin isolation level read committed",
  "repeatable read": "begin isolation level repeatable read",
  serializable: "begin isolation level serializable",
};
const MARK = `select pg_catalog.set_config('synod.branch', $1, true),
  pg_catalog.set_config('lock_timeout', $2, true), pg_catalog.set_config('statement_timeout', $3, true)`;
const LOOK = `select pg_catalog.pg_current_xact_id_if_assigned()::pg_catalog.text as xid,
  pg_catalog.current_setting('synod.branch', true) as mark, current_user::pg_catalog.text as role`;
const FIND_RECEIPT = `select transaction_id, idempotency_key, fingerprint, results
  from synod.receipts where idempotency_key = $1`;
const WRITE_RECEIPT = `insert into synod.receipts (transaction_id, idempotency_key, fingerprint, results)
  values ($1, $2, $3, $4)`;

/**
 * What outlives a transaction on a session, and is not wanted in the next: settings, and advisory locks. Not DISCARD ALL,
 * which would drop the prepared statements.
 */
const RESET = ["reset all", "select pg_catalog.pg_advisory_unlock_all()"];

/** A lock wait ends before its statement does, so that the client learns which of the two it was. */
const LOCK_SHARE_OF_TIMEOUT = 0.9;

export function openingSteps(
  cache: StatementCache,
  mark: string,
  isolation: Isolation,
  timeoutMs: number,
): Step[] {
  const lockTimeoutMs = Math.max(1, Math.floor(timeoutMs * LOCK_SHARE_OF_TIMEOUT));
  const values = [mark, String(lockTimeoutMs), String(timeoutMs)];
  return [
    { statement: cache.kept(BEGIN[isolation]), values: [] },
    { statement: cache.kept(MARK), values },
  ];
}

export function findReceiptStep(cache: StatementCache, key: string): Step {
  return { statement: cache.kept(FIND_RECEIPT), values: [key] };
}

export function lookStep(cache: StatementCache): Step {
  return { statement: cache.kept(LOOK), values: [] };
}

/** The gid cannot be a parameter; its alphabet (global-id.ts) makes the literal safe. */
export function prepareStep(cache: StatementCache, gid: GlobalId): Step {
  return { statement: cache.command(`prepare transaction '${gid}'`), values: [] };
}

export function writeReceiptStep(cache: StatementCache, receipt: Receipt): Step {
  const { transactionId, idempotencyKey, fingerprint, results } = receipt;
  const text = results === null ? null : JSON.stringify(results);
  return {
    statement: cache.kept(WRITE_RECEIPT),
    values: [transactionId, idempotencyKey, fingerprint, text],
  };
}

export function commitStep(cache: StatementCache): Step {
  return { statement: cache.kept("commit"), values: [] };
}

export function rollbackStep(cache: StatementCache): Step {
  return { statement: cache.kept("rollback"), values: [] };
}

export function resetSteps(cache: StatementCache): readonly Step[] {
  return RESET.map((text) => ({ statement: cache.kept(text), values: [] }));
}
