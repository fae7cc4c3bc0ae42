/** What the API document says of one route. */
import type { ErrorCode } from "../../../shared/model/errors.ts";
import type { JsonSchema, SchemaName } from "./schemas.ts";

export const TAGS = ["transactions", "reads", "interactive", "cluster", "health"] as const;

/** What every route but those for supervisors may answer where clients are told apart. */
export const AT_THE_GATE: readonly ErrorCode[] = [
  ...(["unauthenticated", "forbidden", "too-many-requests"] as const),
];

interface Example {
  readonly summary: string;
  readonly value: unknown;
}

export interface Parameter {
  readonly name: string;
  readonly in: "path" | "query" | "header";
  readonly description: string;
  readonly schema: JsonSchema;
  readonly example?: unknown;
}

export interface Route {
  readonly method: "get" | "post" | "delete";
  readonly path: string;
  readonly tag: (typeof TAGS)[number];
  readonly operationId: string;
  readonly summary: string;
  readonly description?: string;
  readonly parameters?: readonly Parameter[];
  readonly body?: {
    readonly schema: SchemaName;
    readonly examples: Readonly<Record<string, Example>>;
  };
  readonly answers: Readonly<
    Record<number, { readonly description: string; readonly schema: SchemaName }>
  >;
  /** Of the answers that are no problem; JSON by default. */
  readonly contentType?: string;
  readonly answerHeaders?: readonly string[];
  readonly problems: readonly ErrorCode[];
}
