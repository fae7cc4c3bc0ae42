/** What is wrong with a request or an operator's file, place by place, in words for the person who wrote it. Quotes no values. */
import type { z } from "zod";
import { fieldPath } from "./field-path.ts";

export interface FieldError {
  /** JSON path, e.g. `operations[2].params[0]`; empty for the whole. */
  readonly field: string;
  readonly sentence: string;
}

const KINDS: Readonly<Record<string, string>> = {
  ...{ string: "a text", number: "a number", int: "a whole number", boolean: "true or false" },
  ...{ array: "a list", object: "an object", record: "an object" },
};
const UNITS: Readonly<Record<string, { readonly one: string; readonly many: string }>> = {
  string: { one: "character", many: "characters" },
  array: { one: "entry", many: "entries" },
};

/** Fields that are not known come first: a misspelt one is the cause of others that are missing. */
export function fieldErrors({ issues }: z.ZodError): FieldError[] {
  const unknown = issues.flatMap((issue) =>
    issue.code === "unrecognized_keys"
      ? issue.keys.map((key) => ({
          path: [...issue.path, key],
          sentence: "there is no such field",
        }))
      : [],
  );
  const others = issues
    .filter(({ code }) => code !== "unrecognized_keys")
    .map((issue) => ({ path: issue.path, sentence: sentenceOf(issue) }));
  return [...unknown, ...others].map(({ path, sentence }) => ({
    field: fieldPath(path),
    sentence,
  }));
}

function sentenceOf(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case "invalid_union":
      return "must be a text, a number, a boolean, null, a list or an object";
    case "invalid_type": {
      const kind = `must be ${KINDS[issue.expected] ?? issue.expected}`;
      return issue.message.endsWith("received undefined") ? `is missing: it ${kind}` : kind;
    }
    case "invalid_value":
      return `must be ${issue.values.length > 1 ? "one of " : ""}${issue.values.join(", ")}`;
    case "invalid_key":
      return issue.issues[0]?.message ?? issue.message;
    case "too_small":
      return boundOf(issue.origin, "at least", issue.minimum);
    case "too_big":
      return boundOf(issue.origin, "at most", issue.maximum);
    case "unrecognized_keys":
    case "invalid_element":
    case "invalid_format":
    case "not_multiple_of":
    case "custom":
      return issue.message.replace(/^[A-Z](?=[a-z])/, (first) => first.toLowerCase());
  }
}

/** Bounds of our schemas are inclusive. */
function boundOf(origin: string, side: string, bound: number | bigint): string {
  const unit = UNITS[origin];
  if (unit === undefined) return `must be ${side} ${bound}`;
  return `must have ${side} ${bound} ${Number(bound) === 1 ? unit.one : unit.many}`;
}
