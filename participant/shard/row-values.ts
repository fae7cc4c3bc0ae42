/**
 * Values on their way from Postgres, always in its text format.
 *
 * Rows hold only what JSON can hold without loss: bool, int2, int4, finite floats, json, and arrays of these are parsed;
 * all else stays the text that Postgres printed (int8 and numeric, because doubles lose digits; timestamps, because only
 * the text says what the database knows). Not-a-number and the infinities stay text as well, and so do json documents that nest
 * deeper than 128 levels: whoever walks them, in packing an answer or in keeping it, would overflow the stack.
 */
import pg from "pg";

type FromText = (text: string) => unknown;

const asText: FromText = (text) => text;
const asNumber: FromText = (text) => {
  const value = Number(text);
  return Number.isFinite(value) ? value : text;
};
const asBoolean: FromText = (text) => text === "t";

const MAX_JSON_DEPTH = 128;
const asJson: FromText = (text): unknown => (isTooDeep(text) ? text : JSON.parse(text));

/** Of a document; each of its levels takes two characters. */
function isTooDeep(text: string): boolean {
  if (text.length <= 2 * MAX_JSON_DEPTH) return false;
  let depth = 0;
  let isInText = false;
  for (let index = 0; index < text.length; index += 1) {
    const character = text[index];
    if (character === '"') isInText = !isInText;
    else if (isInText && character === "\\") index += 1;
    else if (isInText) continue;
    else if (character === "[" || character === "{") depth += 1;
    else if (character === "]" || character === "}") depth -= 1;
    if (depth > MAX_JSON_DEPTH) return true;
  }
  return false;
}

/** pg-types' own description of this function is wrong: it is an object that creates parsers. */
const arrayParser = pg.types.arrayParser as unknown as {
  create(source: string, item: FromText): { parse(): unknown[] };
};

const arrayOf =
  (item: FromText): FromText =>
  (text) =>
    arrayParser.create(text, item).parse();

/** Type oids from pg_type.dat; they are fixed for built-in types. */
const SCALARS: readonly (readonly [FromText, readonly number[]])[] = [
  [asBoolean, [16]],
  [asNumber, [21, 23, 700, 701]],
  [asJson, [114, 3802]],
];
const ARRAYS: readonly (readonly [FromText, readonly number[]])[] = [
  [asBoolean, [1000]],
  [asNumber, [1005, 1007, 1021, 1022]],
  [asJson, [199, 3807]],
  [
    asText,
    [
      651, 1001, 1002, 1003, 1009, 1014, 1015, 1016, 1028, 1040, 1041, 1115, 1182, 1183, 1185, 1187,
      1231, 1270, 2951,
    ],
  ],
];

const PARSERS: ReadonlyMap<number, FromText> = new Map([
  ...SCALARS.flatMap(([parse, oids]) => oids.map((oid) => [oid, parse] as const)),
  ...ARRAYS.flatMap(([item, oids]) => oids.map((oid) => [oid, arrayOf(item)] as const)),
]);

/** How the text of a column of this type becomes a value of a row. */
export function parserOf(typeOid: number): FromText {
  return PARSERS.get(typeOid) ?? asText;
}
