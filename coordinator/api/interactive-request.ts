/**
 * Reads the bodies of interactive transactions. As with one-shot ones, what can be refused without asking a shard is refused
 * here, with the path of the field, and then nothing was run.
 */
import { hash } from "node:crypto";
import type { z } from "zod";
import { assert } from "../../shared/model/assert.ts";
import type { ShardId } from "../../shared/model/ids.ts";
import { BeginRequest, type CommitBody, StepRequest } from "../../shared/model/interactive.ts";
import type { AskedStep, Step } from "../transactions/interactive/machine.ts";
import { objectionToShard } from "./access/rights.ts";
import type { FieldError } from "./field-errors.ts";
import { fieldPath } from "./field-path.ts";
import { readOperations, type Terms } from "./operation-checks.ts";
import { objectionsToList } from "./params.ts";
import { InvalidRequest } from "./problem.ts";
import {
  type Forwardable,
  inKeyOrder,
  readAs,
  readJson,
  type RawBody,
  withTexts,
} from "./request-body.ts";

/** An empty body stands for `{}`. */
export function readOptionalBody<Schema extends z.ZodType<BeginRequest | CommitBody>>(
  schema: Schema,
  raw: RawBody,
): z.infer<Schema> {
  return readAs(schema, raw.body.length === 0 ? {} : readJson(raw));
}

/** Throws InvalidRequest. */
export function readBegin(raw: RawBody, { shards: known, caller }: Terms): BeginRequest {
  const request = readOptionalBody(BeginRequest, raw);
  const refuse = (
    code: "forbidden" | "unknown-shard",
    objectionTo: (shard: string) => string | undefined,
  ): void => {
    const errors = (request.shards ?? []).flatMap((shard, index): readonly FieldError[] => {
      const sentence = objectionTo(shard);
      return sentence === undefined ? [] : [{ field: fieldPath(["shards", index]), sentence }];
    });
    if (errors.length > 0) throw new InvalidRequest(code, errors);
  };
  refuse("forbidden", (shard) =>
    caller.isForwarded ? undefined : objectionToShard(caller.rights, shard),
  );
  refuse("unknown-shard", (shard) =>
    known.includes(shard) ? undefined : `there is no shard "${shard}"`,
  );
  return request;
}

/** Throws SynodError with outcome `not_started`. The statement parser must be loaded. */
export function readStep(raw: RawBody, terms: Terms): AskedStep & Forwardable {
  const json = readJson(raw);
  const objections = objectionsToList((json as { params?: unknown } | null)?.params, ["params"]);
  if (objections.length > 0) throw new InvalidRequest("invalid-request", objections);
  const request = readAs(StepRequest, json);
  const { seq } = request;
  const fingerprint = fingerprintOf(request);
  const mark = markOf(request);
  if (mark !== undefined) return { seq, fingerprint, step: mark, body: raw.body };
  const { shard, params = [], sql: asked, statement, expect } = request;
  assert(shard !== undefined, "the schema lets no other step through");
  const wish = { shard, params, sql: asked, statement, expect };
  const [operation] = readOperations([{ path: [], operation: wish }], terms);
  assert(operation !== undefined, "as many are found as are asked for");
  const { sql } = operation;
  const what = { sql, params, index: 0, ...(expect !== undefined && { expect }) };
  return {
    ...{ seq, fingerprint, step: { kind: "operation", shard: shard as ShardId, operation: what } },
    body: withTexts(raw, [operation], { ...request, sql }),
  };
}

function markOf({ savepoint, rollbackTo, release }: StepRequest): Step | undefined {
  if (savepoint !== undefined) return { kind: "savepoint", name: savepoint };
  if (rollbackTo !== undefined) return { kind: "rollbackTo", name: rollbackTo };
  return release === undefined ? undefined : { kind: "release", name: release };
}

/** The order of an object's keys and blanks do not count, and a name stands for itself. */
function fingerprintOf({ shard, sql, params = [], expect, ...others }: StepRequest): string {
  const text = others.statement === undefined ? sql : undefined;
  const canonical = [shard, text, params.map(inKeyOrder), expect?.rowCount, inKeyOrder(others)];
  return hash("sha256", JSON.stringify(canonical), "base64url");
}
