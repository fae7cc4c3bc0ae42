/**
 * The schemas of the API document: made of the zod schemas that check requests and that clients read answers with, so
 * that the document cannot say something else.
 */
import { z } from "zod";
import {
  BegunAnswer,
  ClusterAnswer,
  CommittedAnswer,
  LivenessAnswer,
  ProblemAnswer,
  ReadAnswer,
  ReadinessAnswer,
  RolledBackAnswer,
  StatementAnswer,
  StatusAnswer,
  StepAnswer,
} from "../../../shared/model/answers.ts";
import { Operation, Param, ReadRequest, TransactionRequest } from "../../../shared/model/api.ts";
import { BeginRequest, CommitBody, StepRequest } from "../../../shared/model/interactive.ts";
import { ListAnswer } from "../../../shared/model/listing.ts";

const REQUESTS = {
  TransactionRequest,
  ReadRequest,
  Operation,
  Param,
  BeginRequest,
  StepRequest,
  CommitRequest: CommitBody,
} as const;
const ANSWERS = {
  Committed: CommittedAnswer,
  ReadResults: ReadAnswer,
  TransactionStatus: StatusAnswer,
  Begun: BegunAnswer,
  Step: z.union([StatementAnswer, StepAnswer]),
  RolledBack: RolledBackAnswer,
  TransactionList: ListAnswer,
  Cluster: ClusterAnswer,
  Liveness: LivenessAnswer,
  Readiness: ReadinessAnswer,
  Metrics: z.string(),
  Problem: ProblemAnswer,
} as const;

export type SchemaName = keyof typeof REQUESTS | keyof typeof ANSWERS;
export type JsonSchema = Readonly<Record<string, unknown>>;

export function refTo(name: SchemaName): JsonSchema {
  return { $ref: uriOf(name) };
}

/** For `components.schemas`. */
export function componentSchemas(): Readonly<Record<string, JsonSchema>> {
  return { ...converted(REQUESTS, "input"), ...converted(ANSWERS, "output") };
}

function converted(
  schemas: Readonly<Record<string, z.ZodType>>,
  io: "input" | "output",
): Record<string, JsonSchema> {
  const registry = z.registry<{ id: string }>();
  for (const [id, schema] of Object.entries(schemas)) registry.add(schema, { id });
  const made = z.toJSONSchema(registry, { uri: uriOf, io }).schemas;
  return Object.fromEntries(Object.entries(made).map(([id, schema]) => [id, bare(schema)]));
}

/** Each field of a query as its own schema. */
export function querySchemas(schema: z.ZodObject): Readonly<Record<string, JsonSchema>> {
  const { properties = {} } = bare(z.toJSONSchema(schema, { io: "output" }));
  return properties as Record<string, JsonSchema>;
}

function uriOf(id: string): string {
  return `#/components/schemas/${id}`;
}

/** Inside the document, identity and dialect are the document's. */
function bare(schema: JsonSchema): JsonSchema {
  const own = Object.entries(schema).filter(([name]) => name !== "$schema" && name !== "$id");
  return Object.fromEntries(own);
}
