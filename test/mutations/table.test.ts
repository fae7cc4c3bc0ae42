/**
 * A check that cannot fail proves nothing. Each rule here is removed from the outside, and somebody must notice; what, who and how
 * soon is printed. The rules that show only in the whole stack have a table like this in the simulation.
 */
import { CORE } from "./core.ts";
import { complaintsOfTheInnocent, LEDGER } from "./ledger.ts";
import { LOG } from "./log.ts";
import type { RemovedRule } from "./rule.ts";
import { SNAPSHOTS } from "./snapshots.ts";

const ROWS: readonly RemovedRule[] = [...CORE, ...SNAPSHOTS, ...LOG, ...LEDGER];
const lines: string[] = [];

test.each(ROWS.map((row) => [row.mutation, row] as const))(
  "the absence of a rule is noticed: %s",
  async (mutation, { look, expected }) => {
    const noticed = await look();
    if (noticed === undefined) throw new Error("nobody notices");
    const { by, what, after } = noticed;
    lines.push(`${mutation.padEnd(66)} ${by.padEnd(18)} ${after.padEnd(26)} ${what}`);
    expect(what).toMatch(expected);
  },
);

test("nobody complains of a ledger that keeps its rules", () => {
  expect(complaintsOfTheInnocent().filter((complaint) => complaint !== undefined)).toEqual([]);
});

afterAll(() => {
  process.stdout.write(`\n${lines.length} rules removed\n${lines.join("\n")}\n`);
});
