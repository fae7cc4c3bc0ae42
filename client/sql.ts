/**
 * Statements and their values. Values travel apart from the text, always: the tag makes `$1`, `$2` … of what is filled in.
 *
 * Numbers that JSON would change on the way are refused here, where the caller's own line is on the stack: an integer
 * beyond 2^53, NaN, infinity. A bigint goes as its decimal digits, a date as ISO 8601; Postgres reads both.
 */
import type { Param } from "../shared/model/api.ts";

const MAX_DEPTH = 16;

/** What may be filled into a statement. Lists become Postgres arrays, plain objects json. */
export type SqlValue =
  | string
  | number
  | bigint
  | boolean
  | null
  | Date
  | readonly SqlValue[]
  | { readonly [key: string]: SqlValue };

const mark = Symbol("statement");

/** Spreads into an operation: `{ shard: "s1", ...sql`select ${id}` }`. */
export interface SqlStatement {
  readonly sql: string;
  readonly params: readonly Param[];
  readonly [mark]: true;
}

/** sql`update accounts set balance = balance - ${10n} where id = ${"alice"}` */
export function sql(texts: TemplateStringsArray, ...values: readonly SqlValue[]): SqlStatement {
  const text = texts.reduce((before, after, index) => `${before}$${index}${after}`);
  return { sql: text, params: toParams(values), [mark]: true };
}

/** Throws a TypeError that names the place of a value that cannot travel. */
export function toParams(values: readonly SqlValue[]): readonly Param[] {
  return values.map((value, index) => toParam(value, `$${index + 1}`, 1));
}

function toParam(value: SqlValue, place: string, depth: number): Param {
  if (depth > MAX_DEPTH) throw new TypeError(`${place} is nested deeper than ${MAX_DEPTH} levels`);
  switch (typeof value) {
    case "string":
    case "boolean":
      return value;
    case "bigint":
      return value.toString();
    case "number":
      return asNumber(value, place);
    case "object":
      return value === null ? null : fromObject(value, place, depth);
    case "undefined":
    case "function":
    case "symbol":
      throw new TypeError(`${place} is ${typeof value}, which no column can hold`);
  }
}

function asNumber(value: number, place: string): number {
  if (!Number.isFinite(value)) throw new TypeError(`${place} is not a finite number`);
  if (!Number.isInteger(value) || Number.isSafeInteger(value)) return value;
  throw new TypeError(`${place} is an integer beyond 2^53: give it as a bigint or a string`);
}

function fromObject(value: object, place: string, depth: number): Param {
  if (mark in value) throw new TypeError(`${place} is a statement, not a value`);
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value)) {
    const list = value as readonly SqlValue[];
    return list.map((inner, index) => toParam(inner, `${place}[${index}]`, depth + 1));
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) {
    throw new TypeError(`${place} is an object of a class, not a plain one`);
  }
  const entries = Object.entries(value).map(([name, inner]) => {
    return [name, toParam(inner as SqlValue, `${place}.${name}`, depth + 1)] as const;
  });
  return Object.fromEntries(entries);
}
