/**
 * Reads `POST /v1/transactions` and `POST /v1/reads`: everything that can be refused without asking a shard is refused here,
 * with the path of the field, so that a refusal means that nothing has begun anywhere.
 */
import { hash } from "node:crypto";
import type { z } from "zod";
import {
  type AskedOperation,
  type Operation,
  ReadRequest,
  TransactionRequest,
} from "../../shared/model/api.ts";
import {
  IDEMPOTENCY_KEY_PATTERN,
  MAX_IDEMPOTENCY_KEY_LENGTH,
  scopedKey,
} from "../../shared/model/idempotency-key.ts";
import type { Idempotency } from "../../shared/model/protocol.ts";
import { checkStatement } from "../../shared/runtime/sql-statement.ts";
import type { Submission } from "../transactions/gateway.ts";
import { readOperations, type Terms } from "./operation-checks.ts";
import { objectionsToParams } from "./params.ts";
import { InvalidRequest } from "./problem.ts";
import {
  type Forwardable,
  inKeyOrder,
  readAs,
  readJson,
  type RawBody,
  withTexts,
} from "./request-body.ts";

/** Throws SynodError with outcome `not_started`. The statement parser must be loaded. */
export function readSubmission(
  raw: RawBody,
  idempotencyKey: string | undefined,
  client: string | null,
  terms: Terms,
): Pick<Submission, "request" | "idempotency"> & Forwardable {
  const key = readIdempotencyKey(idempotencyKey, client);
  const asked = readRequest(TransactionRequest, raw, terms);
  const request = asked.operations.every(mayShare) ? asked : { ...asked, lane: false };
  return {
    ...{ request, idempotency: key === null ? null : withFingerprint(key, request) },
    body: withTexts(raw, request.operations, request),
  };
}

function mayShare({ sql }: Operation): boolean {
  const verdict = checkStatement(sql);
  return verdict.ok && verdict.mayShare;
}

/** The same for `POST /v1/reads`. */
export function readReadRequest(
  raw: RawBody,
  terms: Terms,
): { readonly request: ReadRequest } & Forwardable {
  const request = readRequest(ReadRequest, raw, { ...terms, readsOnly: true });
  return { request, body: withTexts(raw, request.operations, request) };
}

const KEY_FIELD = "Idempotency-Key";

/** A bare key, or one quoted as a structured-field string. Null when there is none. */
function readIdempotencyKey(header: string | undefined, client: string | null): string | null {
  if (header === undefined) return null;
  const quoted = /^"([^"\\]*)"$/.exec(header);
  const key = quoted?.[1] ?? header;
  if (!IDEMPOTENCY_KEY_PATTERN.test(key)) {
    const sentence = "must be visible ASCII characters, at least one, without quotes";
    throw new InvalidRequest("idempotency-key-invalid", [{ field: KEY_FIELD, sentence }]);
  }
  if (key.length > MAX_IDEMPOTENCY_KEY_LENGTH) {
    const sentence = `must have at most ${MAX_IDEMPOTENCY_KEY_LENGTH} characters`;
    throw new InvalidRequest("idempotency-key-too-long", [{ field: KEY_FIELD, sentence }]);
  }
  return scopedKey(client, key);
}

function readRequest<Schema extends z.ZodType<{ operations: AskedOperation[] }>>(
  schema: Schema,
  raw: RawBody,
  terms: Terms,
): z.infer<Schema> & { operations: Operation[] } {
  const json = readJson(raw);
  const objections = objectionsToParams(json);
  if (objections.length > 0) throw new InvalidRequest("invalid-request", objections);
  const request = readAs(schema, json);
  const placed = request.operations.map((operation, index) => {
    return { path: ["operations", index], operation };
  });
  return { ...request, operations: readOperations(placed, terms) };
}

/**
 * The same for bodies that ask for the same: the order of an object's keys, blanks and timeouts do not count, and a name stands
 * for itself, whatever text it has.
 */
function withFingerprint(key: string, { isolation, operations }: TransactionRequest): Idempotency {
  const canonical = operations.map(({ shard, sql, statement, params, expect }) => {
    const what = statement === undefined ? sql : { statement };
    return [shard, what, params.map(inKeyOrder), expect?.rowCount ?? null];
  });
  return { key, fingerprint: hash("sha256", JSON.stringify([isolation, canonical]), "base64url") };
}
