/** What is wrong with statements that no shard need be asked about. */
import type { Operation } from "../../shared/model/api.ts";
import { checkStatement } from "../../shared/runtime/sql-statement.ts";
import { fieldPath } from "./field-path.ts";
import { InvalidRequest, type FieldError } from "./problem.ts";

/** An operation, and where it stands in the body. */
export interface Placed {
  readonly path: readonly PropertyKey[];
  readonly operation: Pick<Operation, "shard" | "sql" | "params">;
}

/** Throws InvalidRequest. The statement parser must be loaded. */
export function objectToOperations(placed: readonly Placed[], shards: readonly string[]): void {
  const unknown = placed.flatMap(({ path, operation: { shard } }) => {
    return shards.includes(shard) ? [] : [at(path, "shard", `there is no shard "${shard}"`)];
  });
  if (unknown.length > 0) throw new InvalidRequest("unknown-shard", unknown);
  for (const { path, operation } of placed) objectToStatement(path, operation);
  const miscounted = placed.flatMap(({ path, operation }) => objectionToCount(path, operation));
  if (miscounted.length > 0) throw new InvalidRequest("invalid-request", miscounted);
}

function objectToStatement(path: Placed["path"], { sql }: Placed["operation"]): void {
  const verdict = checkStatement(sql);
  if (!verdict.ok) throw new InvalidRequest(verdict.code, [at(path, "sql", verdict.sentence)]);
}

function objectionToCount(
  path: Placed["path"],
  { sql, params }: Placed["operation"],
): readonly FieldError[] {
  const verdict = checkStatement(sql);
  if (!verdict.ok || verdict.parameterCount === params.length) return [];
  const sentence = `holds ${params.length} values, but the statement takes ${verdict.parameterCount}`;
  return [at(path, "params", sentence)];
}

function at(path: Placed["path"], field: string, sentence: string): FieldError {
  return { field: fieldPath([...path, field]), sentence };
}
