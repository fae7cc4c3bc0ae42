/** The state machine is handed slots in order and snapshots forward, or the node halts. */
import { Applier } from "../../coordinator/replication/applier.ts";
import { slot } from "../../shared/model/ids.ts";
import { value } from "../paxos/support/group.ts";

function applier(): { readonly applier: Applier; readonly seen: readonly string[] } {
  const seen: string[] = [];
  return {
    seen,
    applier: new Applier({
      apply: ({ slot: at }) => seen.push(`slot ${at}`),
      restore: (at, chunks) => seen.push(`snapshot ${at} in ${[...chunks].length} chunks`),
    }),
  };
}

const at = (number: number) => ({ slot: slot(number), value: value(`v${number}`) });

test("slots go on behind a snapshot", () => {
  const { applier: applies, seen } = applier();
  applies.apply(at(1));
  applies.restore(slot(5), [value("all")]);
  applies.apply(at(6));
  expect(seen).toEqual(["slot 1", "snapshot 5 in 1 chunks", "slot 6"]);
});

test("S1: a slot that is skipped or repeated halts the node", () => {
  for (const wrong of [1, 3]) {
    const { applier: applies, seen } = applier();
    applies.apply(at(1));
    expect(() => {
      applies.apply(at(wrong));
    }).toThrow("S1");
    expect(seen).toHaveLength(1);
  }
});

test("S3: a snapshot that moves the state back, or nowhere, halts the node", () => {
  for (const wrong of [4, 5]) {
    const { applier: applies, seen } = applier();
    applies.restore(slot(5), []);
    expect(() => {
      applies.restore(slot(wrong), []);
    }).toThrow("S3");
    expect(seen).toHaveLength(1);
  }
});
