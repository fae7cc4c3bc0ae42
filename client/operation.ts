/** One statement on one shard: as the caller gives it, and as it travels. */
import type { Param } from "../shared/model/api.ts";
import { toParams, type SqlValue } from "./sql.ts";

export interface Operation {
  readonly shard: string;
  readonly sql: string;
  readonly params?: readonly SqlValue[];
  /** The transaction aborts unless the statement touched exactly so many rows. */
  readonly expect?: { readonly rowCount: number };
}

export interface WireOperation {
  readonly shard: string;
  readonly sql: string;
  readonly params: readonly Param[];
  readonly expect?: { readonly rowCount: number };
}

export function toWire({ shard, sql, params = [], expect }: Operation): WireOperation {
  return { shard, sql, params: toParams(params), ...(expect !== undefined && { expect }) };
}
