/** What a node that takes a snapshot leaves in its log for a peer that fetches an older one, and whom that peer asks then. */
import { nodeId, slot } from "../../shared/model/ids.ts";
import { fiveChosen, offer } from "./support/five-chosen.ts";
import { between } from "./support/group.ts";

test.each([
  [2, 2],
  [4, 3],
  [0, 0],
  [undefined, 3],
])("what comes after slot %s stays in the log for a peer: slot %i is gone", (after, gone) => {
  const group = fiveChosen({ trailingSlots: 2 });
  const keepAfter = after === undefined ? undefined : slot(after);
  group.input(1, { kind: "snapshotSaved", slot: slot(5), origin: "own", keepAfter });
  expect(group.state(1).log.truncatedUpTo).toBe(gone);
});

test("A6: what is kept for a peer never brings back what is gone", () => {
  const group = fiveChosen({ trailingSlots: 1 });
  group.snapshot(1);
  group.propose(1, "six");
  group.deliver(between(1, 2));
  const keepAfter = slot(2);
  group.input(1, { kind: "snapshotSaved", slot: slot(6), origin: "own", keepAfter });
  expect(group.state(1).log.truncatedUpTo).toBe(4);
});

test("what came after it is asked of whose it was, whomever the last question went to", () => {
  const group = fiveChosen();
  group.receive(3, 2, offer(5, 7));
  group.input(3, { kind: "snapshotSaved", slot: slot(5), origin: "peer", peer: nodeId(1) });
  expect(group.wire.at(-1)).toMatchObject({
    to: 1,
    message: { kind: "learnRequest", fromSlot: 6 },
  });
  expect(group.state(3).catchUp).toMatchObject({ peer: 1, upTo: 7 });
});
