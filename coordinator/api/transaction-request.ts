/**
 * Reads `POST /v1/transactions`: everything that can be refused without asking a shard is refused here, with the
 * path of the field, so that a refusal means that nothing has begun anywhere.
 */
import { isUtf8 } from "node:buffer";
import { hash } from "node:crypto";
import type { z } from "zod";
import {
  IDEMPOTENCY_KEY_PATTERN,
  TransactionRequest,
  type Operation,
} from "../../shared/model/api.ts";
import { SynodError } from "../../shared/model/errors.ts";
import type { Idempotency } from "../../shared/model/protocol.ts";
import { checkStatement } from "../../shared/runtime/sql-statement.ts";
import type { Submission } from "../transactions/gateway.ts";
import { fieldPath } from "./field-path.ts";
import { objectionsToParams } from "./params.ts";
import { InvalidRequest, type FieldError } from "./problem.ts";

export interface RawTransaction {
  readonly body: Buffer;
  readonly contentType: string | undefined;
  readonly contentEncoding: string | undefined;
  readonly idempotencyKey: string | undefined;
}

/** Throws SynodError with outcome `not_started`. The statement parser must be loaded. */
export function readSubmission(raw: RawTransaction, shards: readonly string[]): Submission {
  const key = readIdempotencyKey(raw.idempotencyKey);
  const request = readRequest(readJson(raw));
  for (const check of [objectToShards, objectToStatements, objectToParamCounts]) {
    check(request.operations, shards);
  }
  return { request, idempotency: key === null ? null : withFingerprint(key, request) };
}

const JSON_TYPE = /^application\/json *(?:; *charset="?utf-8"? *)?$/i;

/** Throws when the body is not JSON, or says that it is something else. */
export function readJson(raw: Omit<RawTransaction, "idempotencyKey">): unknown {
  const { body, contentType = "", contentEncoding = "identity" } = raw;
  if (!JSON_TYPE.test(contentType) || contentEncoding !== "identity") {
    const sentence = "the Content-Type must be application/json, in UTF-8 and not compressed";
    throw new SynodError("unsupported-media-type", sentence);
  }
  if (!isUtf8(body)) throw new SynodError("malformed-json", "the body is not UTF-8");
  try {
    return JSON.parse(body.toString("utf8")) as unknown;
  } catch (error) {
    // The parser's own words quote the body, and with it parameters.
    const position = /at position (\d+)/.exec((error as Error).message)?.[1];
    const where = position === undefined ? "" : ` at position ${position}`;
    throw new SynodError("malformed-json", `the body is not JSON${where}`);
  }
}

/** A bare key, or one quoted as a structured-field string. Null when there is none. */
function readIdempotencyKey(header: string | undefined): string | null {
  if (header === undefined) return null;
  const quoted = /^"([^"\\]*)"$/.exec(header);
  const key = quoted?.[1] ?? header;
  if (IDEMPOTENCY_KEY_PATTERN.test(key)) return key;
  throw new InvalidRequest("idempotency-key-invalid", [
    {
      field: "Idempotency-Key",
      sentence: "must be 1 to 255 visible ASCII characters, without quotes",
    },
  ]);
}

function readRequest(json: unknown): TransactionRequest {
  const objections = objectionsToParams(json);
  if (objections.length > 0) throw new InvalidRequest("invalid-request", objections);
  const read = TransactionRequest.safeParse(json);
  if (read.success) return read.data;
  throw new InvalidRequest("invalid-request", read.error.issues.flatMap(fieldErrors));
}

export function fieldErrors(issue: z.core.$ZodIssue): FieldError[] {
  const field = fieldPath(issue.path);
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((key) => {
      return { field: fieldPath([...issue.path, key]), sentence: "there is no such field" };
    });
  }
  if (issue.code === "invalid_union") {
    return [{ field, sentence: "must be a text, a number, a boolean, null, a list or an object" }];
  }
  return [{ field, sentence: issue.message.replace(/^[A-Z]/, (first) => first.toLowerCase()) }];
}

function objectToShards(operations: readonly Operation[], shards: readonly string[]): void {
  const errors = operations.flatMap(({ shard }, index) => {
    const sentence = `there is no shard "${shard}"`;
    return shards.includes(shard) ? [] : [{ field: `operations[${index}].shard`, sentence }];
  });
  if (errors.length > 0) throw new InvalidRequest("unknown-shard", errors);
}

function objectToStatements(operations: readonly Operation[]): void {
  operations.forEach(({ sql }, index) => {
    const verdict = checkStatement(sql);
    if (verdict.ok) return;
    const { code, sentence } = verdict;
    throw new InvalidRequest(code, [{ field: `operations[${index}].sql`, sentence }]);
  });
}

function objectToParamCounts(operations: readonly Operation[]): void {
  const errors = operations.flatMap(({ sql, params }, index) => {
    const verdict = checkStatement(sql);
    if (!verdict.ok || verdict.parameterCount === params.length) return [];
    const sentence = `holds ${params.length} values, but the statement takes ${verdict.parameterCount}`;
    return [{ field: `operations[${index}].params`, sentence }];
  });
  if (errors.length > 0) throw new InvalidRequest("invalid-request", errors);
}

/** The same for bodies that ask for the same effects: the order of an object's keys, blanks and timeouts do not count. */
function withFingerprint(key: string, { isolation, operations }: TransactionRequest): Idempotency {
  const canonical = operations.map(({ shard, sql, params, expect }) => {
    return [shard, sql, params.map(inKeyOrder), expect?.rowCount ?? null];
  });
  return { key, fingerprint: hash("sha256", JSON.stringify([isolation, canonical]), "base64url") };
}

/** Objects become lists of their sorted entries; the mark keeps them apart from lists. */
export function inKeyOrder(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(inKeyOrder);
  const entries = Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1));
  return { object: entries.map(([name, inner]) => [name, inKeyOrder(inner)]) };
}
