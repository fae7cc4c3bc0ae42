/**
 * The statements that the twin understands, word for word, and what they do to a transaction.
 */
import type { OperationResult } from "../../shared/model/api.ts";
import type { ResultField } from "../../shared/model/interactive.ts";
import { unreachable } from "../../shared/model/assert.ts";
import type { BranchOperation } from "../../shared/model/protocol.ts";
import type { MemoryDatabase, MemoryTransaction } from "./memory-database.ts";
import type { ServerFailure } from "./shard.ts";
import { toWire } from "./wire-values.ts";

export const MEMORY_STATEMENTS = {
  add: "update items set value = value + $1 where id = $2",
  read: "select value from items where id = $1",
  note: "insert into entries (id, note) values ($1, $2)",
  list: "select id from entries order by id",
} as const;

type Statement =
  | { readonly kind: "add"; readonly id: string; readonly amount: bigint }
  | { readonly kind: "read"; readonly id: string }
  | { readonly kind: "note"; readonly id: string; readonly note: string }
  | { readonly kind: "list" };

export type StatementOutcome = (OperationResult & { readonly kind: "done" }) | ServerFailure;

const failure = (sqlstate: string, message: string, constraint?: string): ServerFailure => ({
  kind: "failed",
  sqlstate,
  message,
  ...(constraint !== undefined && { constraint }),
});

/** What Postgres answers to statements that it does not know. */
const SYNTAX_ERROR = "42601";
const INVALID_TEXT = "22P02";

/** The columns of what a statement returns. */
export function fieldsOf({ sql }: BranchOperation): readonly ResultField[] {
  if (sql === MEMORY_STATEMENTS.read) return [{ name: "value", type: "int8" }];
  return sql === MEMORY_STATEMENTS.list ? [{ name: "id", type: "text" }] : [];
}

export function parseStatement({ sql, params }: BranchOperation): Statement | ServerFailure {
  const [first = "", second = ""] = params.map((param) => toWire(param) ?? "");
  switch (sql) {
    case MEMORY_STATEMENTS.add:
      if (!/^-?\d+$/.test(first)) {
        return failure(INVALID_TEXT, `invalid input syntax for type bigint: "${first}"`);
      }
      return { kind: "add", amount: BigInt(first), id: second };
    case MEMORY_STATEMENTS.read:
      return { kind: "read", id: first };
    case MEMORY_STATEMENTS.note:
      return { kind: "note", id: first, note: second };
    case MEMORY_STATEMENTS.list:
      return { kind: "list" };
    default:
      return failure(SYNTAX_ERROR, "the memory shard does not understand this statement");
  }
}

/** The row whose lock the statement needs, if any. */
export function rowToLock(statement: Statement, database: MemoryDatabase): string | undefined {
  if (statement.kind === "add" && database.items.has(statement.id)) return `items/${statement.id}`;
  return statement.kind === "note" ? `entries/${statement.id}` : undefined;
}

/** The lock is held. */
export function runStatement(
  statement: Statement,
  transaction: MemoryTransaction,
  database: MemoryDatabase,
): StatementOutcome {
  switch (statement.kind) {
    case "read": {
      const value = valueOf(statement.id, transaction, database);
      const rows = value === undefined ? [] : [{ value: String(value) }];
      return { kind: "done", rowCount: rows.length, rows };
    }
    case "list": {
      const { entries } = transaction.sees ?? database;
      const ids = [...new Set([...entries.keys(), ...transaction.entries.keys()])].sort();
      return { kind: "done", rowCount: ids.length, rows: ids.map((id) => ({ id })) };
    }
    case "add": {
      const before = valueOf(statement.id, transaction, database);
      if (before === undefined) return { kind: "done", rowCount: 0, rows: [] };
      if (isWrittenSince(transaction.sees, statement.id, database)) {
        return failure("40001", "could not serialize access due to concurrent update");
      }
      const value = before + statement.amount;
      if (value < 0n) {
        const message = `new row for relation "items" violates check constraint "items_value_check"`;
        return failure("23514", message, "items_value_check");
      }
      transaction.items.set(statement.id, value);
      break;
    }
    case "note": {
      const { id, note } = statement;
      if (database.entries.has(id) || transaction.entries.has(id)) {
        const message = `duplicate key value violates unique constraint "entries_pkey"`;
        return failure("23505", message, "entries_pkey");
      }
      transaction.entries.set(id, note);
      break;
    }
    default:
      return unreachable(statement);
  }
  database.assignXid(transaction);
  return { kind: "done", rowCount: 1, rows: [] };
}

function valueOf(
  id: string,
  transaction: MemoryTransaction,
  database: MemoryDatabase,
): bigint | undefined {
  return transaction.items.get(id) ?? (transaction.sees ?? database).items.get(id);
}

function isWrittenSince(
  seen: MemoryTransaction["sees"],
  id: string,
  { versions }: MemoryDatabase,
): boolean {
  return seen !== undefined && seen.versions.get(id) !== versions.get(id);
}
