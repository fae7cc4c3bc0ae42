/** SPEC.md names for each invariant what is removed to show that its loss is noticed; those names are rows of a table that runs. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { MUTATIONS } from "../simulation/mutation.ts";
import { CORE } from "./core.ts";
import { LEDGER } from "./ledger.ts";
import { LOG } from "./log.ts";
import { SNAPSHOTS } from "./snapshots.ts";

const SPECIFICATION = join(__dirname, "..", "..", "coordinator", "paxos", "SPEC.md");
/** `| A1 | invariant | held up by | noticed when removed |`, the last with names in quotes. */
const ROW = /^\| ([ACEGPST]\d) +\|[^|]*\|[^|]*\|([^|]*)\|$/gm;
const MIN_MUTATIONS = 25;

const tables = [...CORE, ...SNAPSHOTS, ...LOG, ...LEDGER].map(({ mutation }) => mutation);
const known = new Set<string>([...tables, ...MUTATIONS]);
const rows = [...readFileSync(SPECIFICATION, "utf8").matchAll(ROW)].map(
  ([, id = "", cell = ""]) =>
    [id, [...cell.matchAll(/"([^"]+)"/g)].map(([, name]) => name)] as const,
);

test.each(rows)("%s names mutations, and all of them run", (_, names) => {
  expect(names).not.toEqual([]);
  expect(names.filter((name) => name === undefined || !known.has(name))).toEqual([]);
});

test("no invariant is left out, and the tables are long enough", () => {
  const text = readFileSync(SPECIFICATION, "utf8");
  const all = [...text.matchAll(/^\| ([ACEGPST]\d) /gm)].map(([, id]) => id);
  expect(rows.map(([id]) => id)).toEqual(all);
  expect(all.length).toBeGreaterThan(30);
  expect(known.size).toBeGreaterThanOrEqual(MIN_MUTATIONS);
});
