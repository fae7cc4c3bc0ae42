/**
 * Postgres' names of types, as clients hear them. The numbers of built-in types are fixed (pg_type.dat); those of types that
 * a database has made for itself differ from one to the next, and no name is looked up for them.
 */
import pg from "pg";

const USER_DEFINED = "user-defined";

/** The array of each of these. */
const ARRAYS: Readonly<Record<string, number>> = {
  json: 199,
  bool: 1000,
  bytea: 1001,
  char: 1002,
  int2: 1005,
  int4: 1007,
  text: 1009,
  bpchar: 1014,
  varchar: 1015,
  int8: 1016,
  float4: 1021,
  float8: 1022,
  oid: 1028,
  inet: 1041,
  timestamp: 1115,
  date: 1182,
  time: 1183,
  timestamptz: 1185,
  interval: 1187,
  numeric: 1231,
  timetz: 1270,
  uuid: 2951,
  jsonb: 3807,
};
/** Of no use to the driver, so it has no name for them. */
const OTHERS: Readonly<Record<string, number>> = { name: 19, record: 2249, void: 2278 };

const NAMES: ReadonlyMap<number, string> = new Map([
  ...Object.entries(pg.types.builtins).map(([name, oid]) => [oid, name.toLowerCase()] as const),
  ...Object.entries(ARRAYS).map(([item, oid]) => [oid, `${item}[]`] as const),
  ...Object.entries(OTHERS).map(([name, oid]) => [oid, name] as const),
]);

export function typeName(oid: number): string {
  return NAMES.get(oid) ?? USER_DEFINED;
}
