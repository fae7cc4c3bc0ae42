/**
 * Reads the bodies of interactive transactions. As with one-shot ones, what can be refused without asking a shard is refused
 * here, with the path of the field, and then nothing was run.
 */
import { hash } from "node:crypto";
import type { z } from "zod";
import { assert } from "../../shared/model/assert.ts";
import type { ShardId } from "../../shared/model/ids.ts";
import { type BeginRequest, type CommitBody, StepRequest } from "../../shared/model/interactive.ts";
import type { AskedStep, Step } from "../transactions/interactive/machine.ts";
import { objectToOperations } from "./operation-checks.ts";
import { objectionsToList } from "./params.ts";
import { InvalidRequest } from "./problem.ts";
import { inKeyOrder, readAs, readJson, type RawBody } from "./request-body.ts";

/** An empty body stands for `{}`. */
export function readOptionalBody<Schema extends z.ZodType<BeginRequest | CommitBody>>(
  schema: Schema,
  raw: RawBody,
): z.infer<Schema> {
  return readAs(schema, raw.body.length === 0 ? {} : readJson(raw));
}

/** Throws SynodError with outcome `not_started`. The statement parser must be loaded. */
export function readStep(raw: RawBody, shards: readonly string[]): AskedStep {
  const json = readJson(raw);
  const objections = objectionsToList((json as { params?: unknown } | null)?.params, ["params"]);
  if (objections.length > 0) throw new InvalidRequest("invalid-request", objections);
  const request = readAs(StepRequest, json);
  const { seq } = request;
  return { seq, fingerprint: fingerprintOf(request), step: stepOf(request, shards) };
}

function stepOf(request: StepRequest, shards: readonly string[]): Step {
  const { shard, sql, params = [], expect, savepoint, rollbackTo, release } = request;
  if (savepoint !== undefined) return { kind: "savepoint", name: savepoint };
  if (rollbackTo !== undefined) return { kind: "rollbackTo", name: rollbackTo };
  if (release !== undefined) return { kind: "release", name: release };
  assert(shard !== undefined && sql !== undefined, "the schema lets no other step through");
  objectToOperations([{ path: [], operation: { shard, sql, params } }], shards);
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
