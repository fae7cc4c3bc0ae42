/** One statement on one shard: as the caller gives it, and as it travels. */
import type { Param } from "../shared/model/api.ts";
import { toParams, type SqlValue } from "./sql.ts";

/** A statement that an operator has given a name, in place of SQL. */
export interface NamedStatement {
  readonly statement: string;
  readonly params?: readonly SqlValue[];
}

interface Sql {
  readonly sql: string;
  readonly params?: readonly SqlValue[];
}

export type Operation = (Sql | NamedStatement) & {
  readonly shard: string;
  /** The transaction aborts unless the statement touched exactly so many rows. */
  readonly expect?: { readonly rowCount: number };
};

export type WireOperation = ({ readonly sql: string } | { readonly statement: string }) & {
  readonly shard: string;
  readonly params: readonly Param[];
  readonly expect?: { readonly rowCount: number };
};

export function toWire(operation: Operation): WireOperation {
  const { shard, params = [], expect } = operation;
  const rest = { shard, params: toParams(params), ...(expect !== undefined && { expect }) };
  return "sql" in operation
    ? { ...rest, sql: operation.sql }
    : { ...rest, statement: operation.statement };
}
