/**
 * What a Postgres error means for a client: one table from SQLSTATE (whole, or its class of two characters) to the codes
 * of errors.ts. The first hit from whole to class wins.
 */
import type { ErrorCode } from "../../shared/model/errors.ts";

const CODES: Readonly<Record<string, ErrorCode>> = {
  "40001": "participant-conflict",
  "40P01": "participant-conflict",
  "55P03": "lock-timeout",
  "57014": "transaction-timeout",
  "25P03": "transaction-timeout",
  "25P04": "transaction-timeout",
  "23": "constraint-violation",
  "53": "overloaded",
  "08": "shard-unavailable",
  "57P01": "shard-unavailable",
  "57P02": "shard-unavailable",
  "57P03": "shard-unavailable",
  "25006": "shard-unavailable",
};

/** At PREPARE alone: the server cannot keep this branch, whatever is tried. */
const PREPARE_CODES: Readonly<Record<string, ErrorCode>> = {
  "0A000": "not-preparable",
  "55000": "not-preparable",
};

/** In a read, which the server takes for what it is. */
const READ_CODES: Readonly<Record<string, ErrorCode>> = {
  "25006": "statement-not-allowed",
};

const CODES_AT: { readonly [Step in BranchStep]?: Readonly<Record<string, ErrorCode>> } = {
  prepare: PREPARE_CODES,
  read: READ_CODES,
};

/** A statement with a stale plan fails with this, and so does PREPARE for what cannot be prepared. */
export const FEATURE_NOT_SUPPORTED = "0A000";
export const UNIQUE_VIOLATION = "23505";
export const QUERY_CANCELED = "57014";
export const LOCK_NOT_AVAILABLE = "55P03";
export const INSUFFICIENT_PRIVILEGE = "42501";
export const UNDEFINED_OBJECT = "42704";
export const INVALID_PARAMETER_VALUE = "22023";

export const READ_ONLY_TRANSACTION = "25006";

export type BranchStep = "execute" | "prepare" | "commit" | "read";

export function errorCodeOf(sqlstate: string, step: BranchStep): ErrorCode {
  return (
    CODES_AT[step]?.[sqlstate] ?? CODES[sqlstate] ?? CODES[sqlstate.slice(0, 2)] ?? "sql-error"
  );
}
