/**
 * The statements that the session itself puts around the client's.
 *
 *   begin · [limits] · [receipt of the key] · client's statements · look     then   prepare transaction | receipt · commit
 *   begin read only · [limits] · snapshot · client's statements · look · commit
 *
 * `look` tells the xid, null when nothing was written and no row locked, and the role, because a branch that was prepared
 * under another role could never be finished. It also lets go of session-level advisory locks, which a function may have
 * taken and which would outlive the transaction. Every name is qualified: the search path is the client's to change.
 */
import { assert } from "../../shared/model/assert.ts";
import { LIMITS } from "../../shared/model/api.ts";
import { SAVEPOINT_PATTERN } from "../../shared/model/interactive.ts";
import type { GlobalId } from "../../shared/model/ids.ts";
import type { Step } from "./batch.ts";
import type { Receipt, SavepointAction, SessionOptions } from "./shard.ts";
import type { StatementCache } from "./statement-cache.ts";
import { toWire } from "./wire-values.ts";

const BEGIN: Readonly<Record<SessionOptions["isolation"], string>> = {
  "read committed": "begin isolation level read committed",
  "repeatable read": "begin isolation level repeatable read",
  serializable: "begin isolation level serializable",
  "one snapshot": "begin isolation level repeatable read read only",
};
const SNAPSHOT = "select pg_catalog.pg_current_snapshot()::pg_catalog.text as snapshot";
const LIMITS_STEP = `select pg_catalog.set_config('lock_timeout', $1, true),
  pg_catalog.set_config('statement_timeout', $2, true)`;
const INTERACTIVE_LIMITS_STEP = `select pg_catalog.set_config('lock_timeout', $1, true),
  pg_catalog.set_config('statement_timeout', $2, true),
  pg_catalog.set_config('idle_in_transaction_session_timeout', $3, true)`;
const LOOK = `select pg_catalog.pg_current_xact_id_if_assigned()::pg_catalog.text as xid,
  current_user::pg_catalog.text as role, pg_catalog.pg_advisory_unlock_all()`;
const ASSIGN_XID = "select pg_catalog.pg_current_xact_id()::pg_catalog.text as xid";
const FIND_RECEIPT = `select transaction_id, idempotency_key, fingerprint, results
  from synod.receipts where idempotency_key = any($1::text[]) limit 1`;
const WRITE_RECEIPT = `insert into synod.receipts (transaction_id, idempotency_key, fingerprint, results)
  values ($1, $2, $3, $4)`;

/** Settings may outlive a transaction too. Not DISCARD ALL, which would drop the prepared statements. */
const RESET = "reset all";
const UNLOCK = "select pg_catalog.pg_advisory_unlock_all()";

/** A function may have made tables that would hide the real ones from the connection's next user. */
const DISCARD_TEMPORARY = "discard temporary";

/** A lock wait ends before its statement does, so that the client learns which of the two it was. */
const LOCK_SHARE_OF_TIMEOUT = 0.9;

/** Server settings that hold where no `limits` step says otherwise. */
export function limitSettings(timeoutMs: number): {
  readonly lock_timeout: number;
  readonly statement_timeout: number;
} {
  const lockTimeoutMs = Math.max(1, Math.floor(timeoutMs * LOCK_SHARE_OF_TIMEOUT));
  return { lock_timeout: lockTimeoutMs, statement_timeout: timeoutMs };
}

/** A session's settings are those of the default timeout, so only another one takes a step. */
export function openingSteps(
  cache: StatementCache,
  { isolation, timeoutMs, lockTimeoutMs, interactive }: SessionOptions,
): Step[] {
  const begin: Step = { statement: cache.kept(BEGIN[isolation]), values: [] };
  if (interactive !== undefined) {
    const { savepoints, lockTimeoutMs, maxIdleMs } = interactive;
    const values = [lockTimeoutMs, timeoutMs, maxIdleMs].map((limitMs) => String(limitMs));
    return [
      begin,
      { statement: cache.kept(INTERACTIVE_LIMITS_STEP), values },
      ...savepoints.map((name) => savepointStep(cache, { kind: "savepoint", name })),
    ];
  }
  if (timeoutMs === LIMITS.defaultTimeoutMs && lockTimeoutMs === undefined) return [begin];
  const { lock_timeout, statement_timeout } = limitSettings(timeoutMs);
  const values = [lockTimeoutMs ?? lock_timeout, statement_timeout].map(String);
  return [begin, { statement: cache.kept(LIMITS_STEP), values }];
}

const SAVEPOINT_COMMANDS: Readonly<Record<SavepointAction["kind"], string>> = {
  savepoint: "savepoint",
  rollbackTo: "rollback to savepoint",
  release: "release savepoint",
};

/** The name cannot be a parameter; its alphabet makes the quoted name safe. */
export function savepointStep(cache: StatementCache, { kind, name }: SavepointAction): Step {
  assert(SAVEPOINT_PATTERN.test(name), "the name of a savepoint holds nothing to escape");
  return { statement: cache.command(`${SAVEPOINT_COMMANDS[kind]} "${name}"`), values: [] };
}

export function findReceiptStep(cache: StatementCache, keys: readonly string[]): Step {
  return { statement: cache.kept(FIND_RECEIPT), values: [toWire([...keys])] };
}

export function snapshotStep(cache: StatementCache): Step {
  return { statement: cache.kept(SNAPSHOT), values: [] };
}

export function lookStep(cache: StatementCache): Step {
  return { statement: cache.kept(LOOK), values: [] };
}

export function assignXidStep(cache: StatementCache): Step {
  return { statement: cache.kept(ASSIGN_XID), values: [] };
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

export function resetStep(cache: StatementCache): Step {
  return { statement: cache.kept(RESET), values: [] };
}

/** After a commit; what is prepared has none, and what is rolled back leaves none. */
export function discardTemporaryStep(cache: StatementCache): Step {
  return { statement: cache.kept(DISCARD_TEMPORARY), values: [] };
}

/** RESET ALL leaves the role alone. */
export function resetRoleStep(cache: StatementCache): Step {
  return { statement: cache.kept("reset role"), values: [] };
}

/** Where no `look` has. */
export function unlockStep(cache: StatementCache): Step {
  return { statement: cache.kept(UNLOCK), values: [] };
}
