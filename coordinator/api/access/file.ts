/** Files of operators: JSON of one schema. */
import type { z } from "zod";
import { fieldErrors } from "../field-errors.ts";

/** Throws an Error with one sentence that names the place; never quotes what stands there. */
export function readFileAs<Schema extends z.ZodType>(
  schema: Schema,
  text: string,
): z.infer<Schema> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new Error("it is not JSON");
  }
  const read = schema.safeParse(json);
  if (read.success) return read.data;
  const [first = { field: "", sentence: "it is not valid" }] = fieldErrors(read.error);
  throw new Error(first.field === "" ? first.sentence : `${first.field}: ${first.sentence}`);
}
