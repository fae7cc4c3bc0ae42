/** Reads a body as far as it is the same for all of them: JSON of one schema, with complaints that name the field. */
import { isUtf8 } from "node:buffer";
import type { IncomingMessage } from "node:http";
import type { z } from "zod";
import { LIMITS, type Operation } from "../../shared/model/api.ts";
import { SynodError } from "../../shared/model/errors.ts";
import { readBody } from "../../shared/runtime/http.ts";
import { fieldErrors } from "./field-errors.ts";
import { InvalidRequest } from "./problem.ts";

export interface RawBody {
  readonly body: Buffer;
  readonly contentType: string | undefined;
  readonly contentEncoding: string | undefined;
}

/** Rejects with what readBody rejects with. */
export async function rawBody(request: IncomingMessage): Promise<RawBody> {
  const { "content-type": contentType, "content-encoding": contentEncoding } = request.headers;
  const body = await readBody(request, LIMITS.maxBodyBytes);
  return { body, contentType, contentEncoding };
}

export interface Forwardable {
  /** What goes on to another node. */
  readonly body: Buffer;
}

/** The body as it came, or if it names statements, with their texts. Throws `body-too-large`. */
export function withTexts(
  { body }: RawBody,
  operations: readonly Operation[],
  request: object,
): Buffer {
  if (operations.every(({ statement }) => statement === undefined)) return body;
  const longer = Buffer.from(JSON.stringify(request));
  if (longer.length <= LIMITS.maxBodyBytes) return longer;
  const sentence = `with the texts of its statements the body is larger than ${LIMITS.maxBodyBytes} bytes`;
  throw new SynodError("body-too-large", sentence);
}

const JSON_TYPE = /^application\/json *(?:; *charset="?utf-8"? *)?$/i;

/** Throws when the body is not JSON, or says that it is something else. */
export function readJson(raw: RawBody): unknown {
  const { body, contentType = "", contentEncoding = "identity" } = raw;
  if (!JSON_TYPE.test(contentType) || contentEncoding !== "identity") {
    const sentence = "the Content-Type must be application/json, in UTF-8 and not compressed";
    throw new SynodError("unsupported-media-type", sentence);
  }
  if (body.length === 0)
    throw new SynodError("malformed-json", "the body is empty: JSON is needed");
  if (!isUtf8(body)) throw new SynodError("malformed-json", "the body is not UTF-8");
  try {
    return JSON.parse(body.toString("utf8")) as unknown;
  } catch (error) {
    // The parser's own words quote the body, and with it parameters.
    const { message } = error as Error;
    const position = /at position (\d+)/.exec(message)?.[1];
    const end = message.startsWith("Unexpected end") ? ": it ends too early" : "";
    const where = position === undefined ? end : ` at position ${position}`;
    throw new SynodError("malformed-json", `the body is not JSON${where}`);
  }
}

/** Throws InvalidRequest. */
export function readAs<Schema extends z.ZodType>(schema: Schema, json: unknown): z.infer<Schema> {
  const read = schema.safeParse(json);
  if (read.success) return read.data;
  throw new InvalidRequest("invalid-request", fieldErrors(read.error));
}

/** For fingerprints: objects become lists of their sorted entries; the mark keeps them apart from lists. */
export function inKeyOrder(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(inKeyOrder);
  const entries = Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1));
  return { object: entries.map(([name, inner]) => [name, inKeyOrder(inner)]) };
}
