/**
 * Requests made from the API document: what it calls right, and that mutated. Statements touch a table of their own, except in
 * transfers, whose amounts nothing mutates: the accounts must balance in the end.
 */
import fc from "fast-check";
import { mutatedText, mutations, oddHeaders } from "./mutations.ts";
import { type Schema, type Schemas, SchemaValues } from "./schema-values.ts";

export interface FuzzRequest {
  readonly method: string;
  /** As in the document; undefined: it is not in there. */
  readonly route: string | undefined;
  /** `{id}` stands for the id of a transaction that was answered before, the `idIndex`th. */
  readonly path: string;
  readonly idIndex: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
}

interface Parameter {
  readonly name: string;
  readonly in: string;
  readonly schema: Schema;
}

interface DocumentedOperation {
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: {
    readonly content: Readonly<
      Record<
        string,
        {
          readonly schema: Schema;
          readonly examples: Readonly<Record<string, { readonly value: unknown }>>;
        }
      >
    >;
  };
}

export interface FuzzedDocument {
  readonly paths: Readonly<Record<string, Readonly<Record<string, DocumentedOperation>>>>;
  readonly components: { readonly schemas: Schemas };
}

const SUBMIT = "/v1/transactions";
const JSON_TYPE = { "content-type": "application/json" };
const SCRIBBLE =
  "insert into scribbles values ($1::text, $2::text) on conflict (id) do update set text = excluded.text returning *";

/** Enough that few wait for each other. */
const SCRIBBLED = Array.from({ length: 40 }, (_, index) => `row-${index}`);
const statements = fc.constantFrom(
  ...[SCRIBBLE, SCRIBBLE, "select * from scribbles where id = $1", "values (1), (2)"],
  ...["delete from scribbles where id = $1", "select $1", "select $1::int8 / $2::int8", "select 1"],
  ...["update scribbles set text = $2 where id = $1", "with a as (select 1) select * from a"],
  ...["begin", "commit", "rollback; begin", "select 1; select 2", "set role none", "select ("],
  ...["prepare transaction 'x'", "commit prepared 'x'", "copy scribbles to stdout", "do $$ $$"],
  ...["select repeat('x', 300000)", "select generate_series(1, 20000)", "select 1 from nowhere"],
  ...["lock scribbles", "listen x", "drop table accounts", "/* ", "--", "select 'a\u0000b'"],
  ...["select 'NaN'::numeric, 'infinity'::float8, '-0'::float8", "select null, null"],
);
const params = fc.oneof(
  fc.tuple(fc.constantFrom(...SCRIBBLED), fc.string({ unit: "binary", maxLength: 20 })),
  fc.array(fc.jsonValue({ maxDepth: 2 }), { maxLength: 3 }),
);
const known = {
  shard: fc.constantFrom("s1", "s2", "s1", "s2", "s9"),
  sql: statements,
  params,
  // Short, so that nothing that hangs in a lock is waited for at the end.
  timeoutMs: fc.constantFrom(10, 500, 1_000, 2_000),
  idleTimeoutMs: fc.constantFrom(10, 500, 1_000),
  expect: fc.record({ rowCount: fc.constantFrom(0, 1, 1, 2) }),
  seq: fc.constantFrom(1, 1, 1, 2, 2, 3, 4, Number.MAX_SAFE_INTEGER),
  savepoint: fc.constantFrom("a", "b"),
  rollbackTo: fc.constantFrom("a", "b"),
  release: fc.constantFrom("a", "b"),
};

const keys = fc.oneof(
  fc.constantFrom("again", "and-again", "01890000-0000-7000-8000-000000000000"),
  fc.uuid({ version: 7 }),
  fc.stringMatching(/^[!#-~]{1,40}$/),
);

export function requestsOf(document: FuzzedDocument): fc.Arbitrary<FuzzRequest> {
  const values = new SchemaValues(document.components.schemas, known);
  const operations = Object.entries(document.paths).flatMap(([route, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ route, method, operation })),
  );
  const right = fc.oneof(
    ...operations.map(({ route, method, operation }) => {
      const requests = rightRequests(values, route, method, operation);
      return { weight: operation.requestBody === undefined ? 1 : 3, arbitrary: requests };
    }),
  );
  return fc.oneof(
    { weight: 12, arbitrary: right.map(({ value, ...request }) => withBody(request, value)) },
    { weight: 2, arbitrary: transfers() },
    { weight: 14, arbitrary: fc.tuple(right, mutations).map(mutated) },
    { weight: 4, arbitrary: fc.tuple(right, oddHeaders).map(withOddHeaders) },
    { weight: 3, arbitrary: fc.tuple(right, brokenText).map(broken) },
    { weight: 2, arbitrary: fc.tuple(right, methods).map(withMethod) },
    { weight: 2, arbitrary: fc.tuple(right, strangePaths).map(atStrangePath) },
  );
}

type Right = Omit<FuzzRequest, "body"> & { readonly value: unknown };

function rightRequests(
  values: SchemaValues,
  route: string,
  method: string,
  operation: DocumentedOperation,
): fc.Arbitrary<Right> {
  const { parameters = [], requestBody } = operation;
  const query = parameters.filter((parameter) => parameter.in === "query");
  const asked = fc.record(
    Object.fromEntries(query.map(({ name, schema }) => [name, values.of(schema)])),
    { requiredKeys: [] },
  );
  const content = requestBody?.content["application/json"];
  const examples = Object.values(content?.examples ?? {}).map(({ value }) => harmless(value));
  const value =
    content === undefined
      ? fc.constant(undefined)
      : fc.oneof(fc.constantFrom(...examples), values.of(content.schema));
  const takesKey = parameters.some((parameter) => parameter.in === "header");
  return fc
    .record({ asked, value, key: fc.option(keys), idIndex: fc.nat() })
    .map(({ asked: search, value: body, key, idIndex }) => ({
      ...{ method: method.toUpperCase(), route, idIndex, value: body },
      path: withSearch(route, search),
      headers: {
        ...(body !== undefined && JSON_TYPE),
        ...(takesKey && key !== null && { "idempotency-key": key }),
      },
    }));
}

/** The document's examples move money. */
function harmless(example: unknown): unknown {
  return JSON.parse(JSON.stringify(example).replaceAll("accounts", "scribbled_accounts"));
}

function withSearch(path: string, search: Readonly<Record<string, unknown>>): string {
  const pairs = Object.entries(search).map(([name, value]) => {
    return `${name}=${encodeURIComponent(Buffer.from(String(value)).toString())}`;
  });
  return pairs.length === 0 ? path : `${path}?${pairs.join("&")}`;
}

function withBody(request: Omit<FuzzRequest, "body">, value: unknown): FuzzRequest {
  return { ...request, body: value === undefined ? undefined : JSON.stringify(value) };
}

function transfers(): fc.Arbitrary<FuzzRequest> {
  const move = fc.record({
    amount: fc.integer({ min: 0, max: 50 }),
    way: fc.constantFrom(["s1", "s2"], ["s2", "s1"], ["s1", "s1"]),
    keeps: fc.boolean(),
    key: fc.option(keys),
    headers: fc.option(oddHeaders, { freq: 4, nil: {} }),
    waitFor: fc.constantFrom("applied", "decided"),
    timeoutMs: fc.constantFrom(10, 100, 5_000),
  });
  return move.map(({ amount, way: [from, to], keeps, key, headers, ...terms }) => {
    const sql = (sign: string): string =>
      `update accounts set balance = balance ${sign} $1 where id = '${sign === "-" ? "payer" : "payee"}'`;
    const operations = [
      { shard: from, sql: sql("-"), params: [amount], expect: { rowCount: 1 } },
      { shard: to, sql: sql("+"), params: [amount], expect: { rowCount: keeps ? 1 : 2 } },
    ];
    return {
      ...{ method: "POST", route: SUBMIT, path: SUBMIT, idIndex: 0 },
      headers: { ...JSON_TYPE, ...(key !== null && { "idempotency-key": key }), ...headers },
      body: JSON.stringify({ operations, ...terms }),
    };
  });
}

function mutated([{ value, ...request }, applied]: [Right, Parameters<typeof mutatedText>[1]]) {
  const body = mutatedText(value ?? {}, applied);
  return { ...request, headers: { ...request.headers, ...JSON_TYPE }, body };
}

function withOddHeaders([{ value, ...request }, odd]: [Right, FuzzRequest["headers"]]) {
  return withBody({ ...request, headers: { ...request.headers, ...odd } }, value);
}

const brokenText = fc.oneof(
  fc.record({ cutAt: fc.nat(), more: fc.constantFrom("", "}", "\u0000", "{}", ",", "\ufeff") }),
  fc.record({ cutAt: fc.constant(0), more: fc.string({ unit: "binary", maxLength: 200 }) }),
);

function broken([{ value, ...request }, { cutAt, more }]: [
  Right,
  { readonly cutAt: number; readonly more: string },
]): FuzzRequest {
  const text = JSON.stringify(value ?? {});
  const headers = { ...request.headers, ...JSON_TYPE };
  return { ...request, headers, body: text.slice(0, cutAt % text.length) + more };
}

const methods = fc.constantFrom("PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "POST", "GET");

function withMethod([{ value, ...request }, method]: [Right, string]): FuzzRequest {
  return withBody({ ...request, method }, value);
}

const strangePaths = fc.constantFrom(
  ...["%00", "%ff", "%zz", "%2e%2e%2fetc", "1-1-1-az05k0d3m9x2", "9007199254740993-1-1-x", "-1"],
  ...["x".repeat(2_000), "begin", "__proto__", "1-1-1-AZ05K0D3M9X2", "%F0%9F%92%A9", "a%2fb"],
);

function atStrangePath([{ value, ...request }, segment]: [Right, string]): FuzzRequest {
  const path = request.path.includes("{id}")
    ? request.path.replace("{id}", segment)
    : `${request.path}${request.path.includes("?") ? "&x=" : "/"}${segment}`;
  const route =
    request.path.includes("{id}") || request.path.includes("?") ? request.route : undefined;
  return withBody({ ...request, path, route }, value);
}
