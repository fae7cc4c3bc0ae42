/** The OpenAPI 3.1 document, put together from the routes, the schemas and the table of errors. */
import { ERRORS, type ErrorCode } from "../../../shared/model/errors.ts";
import { PROBLEM_TYPE } from "../problem.ts";
import { TAGS, type Parameter, type Route } from "./route.ts";
import { ROUTES } from "./routes.ts";
import { componentSchemas, refTo, type JsonSchema } from "./schemas.ts";

const HEADERS: Readonly<Record<string, string>> = {
  Location: "Where what was begun is found.",
  "Synod-Leader": 'Who leads and where: `2; url="http://…"`. Asking there saves a hop.',
  "Idempotent-Replayed": "`true`: the answer of an earlier attempt, given again.",
  "Retry-After": "Seconds.",
};

const TOKEN = "token";
const TOLD_WHEN_TO_COME_BACK = new Set([429, 503]);

export function openApiDocument(): JsonSchema {
  const paths: Record<string, Record<string, JsonSchema>> = {};
  for (const route of ROUTES) {
    paths[route.path] = { ...paths[route.path], [route.method]: operation(route) };
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Synod",
      version: "1",
      summary: "Atomic transactions over several PostgreSQL databases",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "/" }],
    tags: TAGS.map((name) => ({ name })),
    paths,
    components: {
      schemas: componentSchemas(),
      securitySchemes: {
        [TOKEN]: {
          ...{ type: "http", scheme: "bearer" },
          description: "Where the coordinators have a clients' file.",
        },
      },
    },
    // Either of the two.
    security: [{ [TOKEN]: [] }, {}],
  };
}

function operation(route: Route): JsonSchema {
  const { tag, operationId, summary, description, parameters, body } = route;
  return {
    ...{ tags: [tag], operationId, summary },
    ...(description !== undefined && { description }),
    ...(parameters !== undefined && { parameters: parameters.map(parameter) }),
    ...(!route.problems.includes("unauthenticated") && { security: [] }),
    ...(body !== undefined && {
      requestBody: {
        required: true,
        content: { "application/json": { schema: refTo(body.schema), examples: body.examples } },
      },
    }),
    responses: { ...problems(route), ...answers(route) },
  };
}

function parameter({ in: place, ...rest }: Parameter): JsonSchema {
  return { ...rest, in: place, required: place === "path" };
}

function answers({
  answers: given,
  answerHeaders = [],
  contentType = "application/json",
}: Route): Record<string, JsonSchema> {
  const headers = describedHeaders(answerHeaders);
  const entries = Object.entries(given).map(([status, { description, schema }]) => {
    const content = { [contentType]: { schema: refTo(schema) } };
    return [status, { description, headers, content }] as const;
  });
  return Object.fromEntries(entries);
}

function describedHeaders(names: readonly string[]): JsonSchema {
  const entries = names.map((name) => {
    return [name, { description: HEADERS[name] ?? "", schema: { type: "string" } }] as const;
  });
  return Object.fromEntries(entries);
}

/** One entry for a status, which names the codes that it may carry. */
function problems({ problems: codes }: Route): Record<string, JsonSchema> {
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of codes) {
    const { status } = ERRORS[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  const entries = [...byStatus].map(([status, named]) => {
    const rows = named.map((code) => {
      const { title, outcome, retryable } = ERRORS[code];
      return `- \`${code}\`: ${title} (outcome \`${outcome}\`${retryable ? ", retryable" : ""})`;
    });
    const content = { [PROBLEM_TYPE]: { schema: refTo("Problem") } };
    const headers = TOLD_WHEN_TO_COME_BACK.has(status) ? describedHeaders(["Retry-After"]) : {};
    return [status, { description: rows.join("\n"), headers, content }] as const;
  });
  return Object.fromEntries(entries);
}
