/** What is done to a request that was right: to its JSON values, to its text, to its head. */
import fc from "fast-check";

type Json = unknown;

const LONE_SURROGATE = "\ud800";
const NUL = "\u0000";
const STRINGS = [
  ...["", " ", NUL, `a${NUL}b`, LONE_SURROGATE, "\udc00x", "\u202e", "ﷺ".repeat(50)],
  ...["x".repeat(9_000), "é".repeat(40_000), "__proto__", "constructor", "null", "-0", "1e999"],
  ...["'; drop table accounts; --", "$1", "$0", "$9999999999", "\\u0000", "%00", "../../etc"],
] as const;

/** Written into the text as they are: JSON.stringify has no words for them. */
const RAW = [
  ...["1e999", "-1e999", "-0", "0.1e-400", "123456789012345678901234567890", "NaN", "Infinity"],
  ...["01", "0x10", "undefined", "{", "]", '"', '"\\x"', "[".repeat(5_000), '{"a":'.repeat(2_000)],
  ...[
    `${"[".repeat(20_000)}${"]".repeat(20_000)}`,
    `${'{"a":'.repeat(9_000)}1${"}".repeat(9_000)}`,
  ],
  ...['{"__proto__":{"shard":"s1"}}', '{"a":1,"a":2}', "[,]", "'single'"],
] as const;
const rawMark = (index: number): string => `@@raw${index}@@`;

const nested = (depth: number): Json => {
  let value: Json = 1;
  for (let level = 0; level < depth; level += 1) value = level % 2 === 0 ? [value] : { a: value };
  return value;
};

const replacement: fc.Arbitrary<Json> = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom<Json>(...STRINGS) },
  { weight: 4, arbitrary: fc.constantFrom(...RAW.map((_, index) => rawMark(index))) },
  { weight: 3, arbitrary: fc.constantFrom<Json>(null, true, false, 0, -1, 1.5, [], {}, [[]]) },
  { weight: 2, arbitrary: fc.constantFrom(2 ** 53, -(2 ** 63), 1e300, 5e-324, 2 ** 31, 65_536) },
  { weight: 1, arbitrary: fc.constantFrom(20, 600).map(nested) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(65, 1_001, 20_000).map((length) => Array<Json>(length).fill(1)),
  },
  { weight: 2, arbitrary: fc.string({ unit: "binary", maxLength: 40 }) },
  { weight: 2, arbitrary: fc.jsonValue() },
);

const KEYS = [
  "__proto__",
  "constructor",
  "toString",
  "Shard",
  "shard",
  "sql",
  "",
  NUL,
  "seq",
  "id",
];

export interface Mutation {
  /** Which of the places in the value, modulo how many there are. */
  readonly place: number;
  readonly kind: "replace" | "remove" | "add" | "repeat";
  readonly key: string;
  readonly value: Json;
}

export const mutations: fc.Arbitrary<readonly Mutation[]> = fc.array(
  fc.record<Mutation>({
    place: fc.nat(),
    kind: fc.constantFrom("replace", "replace", "remove", "add", "repeat"),
    key: fc.constantFrom(...KEYS),
    value: replacement,
  }),
  { minLength: 1, maxLength: 3 },
);

type Path = readonly (string | number)[];

function placesIn(value: Json, path: Path = []): Path[] {
  if (typeof value !== "object" || value === null) return [path];
  const inside = Object.entries(value).flatMap(([key, child]) => {
    return placesIn(child, [...path, key]);
  });
  return [path, ...inside];
}

function changed(value: Json, path: Path, change: (old: Json) => Json): Json {
  const [key, ...rest] = path;
  if (key === undefined) return change(value);
  const inner = changed((value as Record<string, Json>)[key], rest, change);
  if (Array.isArray(value)) {
    const items = value.map((item: Json, index) => (String(index) === key ? inner : item));
    return inner === REMOVED ? items.filter((item) => item !== REMOVED) : items;
  }
  const entries = Object.entries(value as object).map(([name, old]: [string, Json]) => {
    return [name, name === key ? inner : old] as const;
  });
  return Object.fromEntries(entries.filter(([, kept]) => kept !== REMOVED));
}

const REMOVED = Symbol("removed");
const MAX_REPEATS = 70;

function apply(value: Json, { place, kind, key, value: given }: Mutation): Json {
  const places = placesIn(value);
  const path = places[place % places.length] ?? [];
  return changed(value, path, (old) => {
    switch (kind) {
      case "replace":
        return given;
      case "remove":
        return path.length === 0 ? null : REMOVED;
      case "add":
        if (typeof old !== "object" || old === null) return [old, given];
        if (Array.isArray(old)) return (old as readonly Json[]).concat([given]);
        return Object.fromEntries([...Object.entries(old), [key, given]]);
      case "repeat":
        return Array<Json>(MAX_REPEATS).fill(old);
    }
  });
}

/** The text of a body, after the mutations. */
export function mutatedText(value: Json, applied: readonly Mutation[]): string {
  const text = JSON.stringify(applied.reduce(apply, value)) as string | undefined;
  return (text ?? "").replace(/"@@raw(\d+)@@"/g, (_, index: string) => RAW[Number(index)] ?? "");
}

/** Of headers that are not what they should be; names as node:http lets them through. */
export const oddHeaders: fc.Arbitrary<Readonly<Record<string, string>>> = fc.dictionary(
  fc.constantFrom(
    ...["content-type", "content-encoding", "idempotency-key", "authorization", "accept"],
    ...["synod-forwarded", "synod-timeout-ms", "synod-ballot", "synod-cluster-token", "origin"],
    ...["if-none-match", "range", "x-forwarded-for", "cookie", "x-http-method-override", "te"],
  ),
  fc.oneof(
    fc.constantFrom(
      ...["", "1", "-1", "NaN", "1e9", "9007199254740993", "gzip", "br", "Bearer x", "Bearer"],
      ...["text/plain", "application/json; charset=utf-16", "application/jsonp", "*/*", "bytes=0-"],
      ...["x".repeat(256), "x".repeat(4_000), "two words", '"quoted"', "käse"],
    ),
    fc.string({ maxLength: 40 }),
  ),
  { minKeys: 1, maxKeys: 4 },
);
