/**
 * Reads the bodies of interactive transactions. As with one-shot ones, what can be refused without asking a shard is refused
 * here, with the path of the field, and then nothing was run.
 */
import { hash } from "node:crypto";
import type { z } from "zod";
import { SynodError } from "../../shared/model/errors.ts";
import type { ShardId } from "../../shared/model/ids.ts";
import { type BeginRequest, type CommitBody, StepRequest } from "../../shared/model/interactive.ts";
import { checkStatement } from "../../shared/runtime/sql-statement.ts";
import type { AskedStep, Step } from "../transactions/interactive/machine.ts";
import { objectionsToList } from "./params.ts";
import { InvalidRequest } from "./problem.ts";
import { fieldErrors, inKeyOrder, type RawTransaction, readJson } from "./transaction-request.ts";

export type RawBody = Omit<RawTransaction, "idempotencyKey">;

/** An empty body stands for `{}`. */
export function readOptionalBody<Schema extends z.ZodType<BeginRequest | CommitBody>>(
  schema: Schema,
  raw: RawBody,
): z.infer<Schema> {
  return read(schema, raw.body.length === 0 ? {} : readJson(raw));
}

/** Throws SynodError with outcome `not_started`. The statement parser must be loaded. */
export function readStep(raw: RawBody, shards: readonly string[]): AskedStep {
  const json = readJson(raw);
  const objections = objectionsToList((json as { params?: unknown } | null)?.params, ["params"]);
  if (objections.length > 0) throw new InvalidRequest("invalid-request", objections);
  const request = read(StepRequest, json);
  const { seq } = request;
  return { seq, fingerprint: fingerprintOf(request), step: stepOf(request, shards) };
}

function read<Schema extends z.ZodType>(schema: Schema, json: unknown): z.infer<Schema> {
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  throw new InvalidRequest("invalid-request", result.error.issues.flatMap(fieldErrors));
}

function stepOf(request: StepRequest, shards: readonly string[]): Step {
  const { shard, sql, params = [], expect, savepoint, rollbackTo, release } = request;
  if (savepoint !== undefined) return { kind: "savepoint", name: savepoint };
  if (rollbackTo !== undefined) return { kind: "rollbackTo", name: rollbackTo };
  if (release !== undefined) return { kind: "release", name: release };
  if (shard === undefined || sql === undefined) {
    throw new SynodError("invalid-request", "a statement needs sql and shard", { field: "sql" });
  }
  if (!shards.includes(shard)) {
    const sentence = `there is no shard "${shard}"`;
    throw new InvalidRequest("unknown-shard", [{ field: "shard", sentence }]);
  }
  const verdict = checkStatement(sql);
  if (!verdict.ok) {
    throw new InvalidRequest(verdict.code, [{ field: "sql", sentence: verdict.sentence }]);
  }
  if (verdict.parameterCount !== params.length) {
    const sentence = `holds ${params.length} values, but the statement takes ${verdict.parameterCount}`;
    throw new InvalidRequest("invalid-request", [{ field: "params", sentence }]);
  }
  const operation = { sql, params, index: 0 };
  return {
    kind: "operation",
    shard: shard as ShardId,
    operation: expect === undefined ? operation : { ...operation, expect },
  };
}

/** The order of an object's keys and blanks do not count. */
function fingerprintOf({ shard, sql, params = [], expect, ...savepoint }: StepRequest): string {
  const canonical = [shard, sql, params.map(inKeyOrder), expect?.rowCount, inKeyOrder(savepoint)];
  return hash("sha256", JSON.stringify(canonical), "base64url");
}
