/**
 * What the schema cannot say well about parameters: a schema of a union complains about its members, and one that
 * calls itself can be made to overflow the stack. Walks without recursion and names the exact place.
 */
import { fieldPath } from "./field-path.ts";
import type { FieldError } from "./field-errors.ts";

const MAX_DEPTH = 16;
/** UTF-8 has no form for it: it would arrive as another character. */
const LONE_SURROGATE = /\p{Surrogate}/u;

interface Place {
  readonly path: readonly PropertyKey[];
  readonly value: unknown;
}

/** Looks only at `operations[*].params` and leaves every other complaint to the schema. */
export function objectionsToParams(json: unknown): readonly FieldError[] {
  const operations = (json as { operations?: unknown } | null)?.operations;
  if (!Array.isArray(operations)) return [];
  return operations.flatMap((operation: { params?: unknown } | null, index) => {
    const params = operation?.params;
    return objectionsToList(params, ["operations", index, "params"]);
  });
}

/** Of one statement; `path` is where they stand in the body. */
export function objectionsToList(params: unknown, path: readonly PropertyKey[]): FieldError[] {
  if (!Array.isArray(params)) return [];
  if (params.every(isHarmless)) return [];
  const errors: FieldError[] = [];
  const open: Place[] = [{ path, value: params }];
  for (let place = open.pop(); place !== undefined; place = open.pop()) {
    const sentence = objection(place, path.length);
    if (sentence !== undefined) {
      errors.push({ field: fieldPath(place.path), sentence });
    } else if (typeof place.value === "object" && place.value !== null) {
      for (const inner of within(place)) open.push(inner);
    }
  }
  return errors;
}

function isHarmless(value: unknown): boolean {
  if (typeof value === "string") return !LONE_SURROGATE.test(value);
  return typeof value !== "number" ? typeof value !== "object" : Number.isSafeInteger(value);
}

function within({ path, value }: Place): Place[] {
  const inList = Array.isArray(value);
  return Object.entries(value as object).map(([name, inner]) => {
    return { path: [...path, inList ? Number(name) : name], value: inner as unknown };
  });
}

function objection({ path, value }: Place, outerDepth: number): string | undefined {
  if (path.length - outerDepth > MAX_DEPTH) return `is nested deeper than ${MAX_DEPTH} levels`;
  if ([value, path.at(-1)].some((text) => typeof text === "string" && LONE_SURROGATE.test(text))) {
    return "holds half of a character (a lone surrogate)";
  }
  if (typeof value !== "number" || Number.isSafeInteger(value)) return undefined;
  if (!Number.isFinite(value)) return "is not a finite number";
  if (!Number.isInteger(value)) return undefined;
  return "an integer beyond 2^53 loses digits in JSON: send it as a string";
}
