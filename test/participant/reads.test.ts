/** Reads of one shard at one moment, as its coordinator hears them. */
import { MAX_READS } from "../../participant/branches/reads.ts";
import { READ_CONNECTIONS } from "../../participant/shard/shard.ts";
import type { BranchOperation, ReadRequest } from "../../shared/model/protocol.ts";
import { createNode, LINK } from "./node-fixture.ts";
import { ADD, operation, READ } from "./shard-contract.ts";
import { settled } from "./test-clock.ts";

const read = (...operations: BranchOperation[]): ReadRequest => ({
  kind: "read",
  timeoutMs: 1_000,
  operations,
});

test("a read answers with its results and the snapshot that they saw", async () => {
  const { node, database } = createNode();
  expect(await node.handle(LINK, read(operation(READ, "a"), operation(READ, "b")))).toEqual({
    kind: "read",
    snapshot: expect.stringMatching(/^\d+:\d+:$/) as string,
    results: [
      { rowCount: 1, rows: [{ value: "100" }] },
      { rowCount: 1, rows: [{ value: "100" }] },
    ],
  });
  expect(database.processes.size).toBe(0);
});

test("a statement that writes is refused as what it is, and named by its place in the request", async () => {
  const { node } = createNode();
  const writes = { ...operation(ADD, 1, "a"), index: 7 };
  expect(await node.handle(LINK, read(operation(READ, "a"), writes))).toMatchObject({
    kind: "no",
    refusal: { code: "statement-not-allowed", operation: 7, sqlstate: "25006" },
  });
});

test("an expectation that is not met is a no", async () => {
  const { node } = createNode();
  const none = { ...operation(READ, "nobody"), expect: { rowCount: 1 } };
  expect(await node.handle(LINK, read(none))).toMatchObject({
    kind: "no",
    refusal: { code: "expectation-failed" },
  });
});

test("a connection that breaks is a no, because a read leaves nothing behind", async () => {
  const { node, hooks } = createNode();
  hooks.verdicts.set("after read", "lose");
  expect(await node.handle(LINK, read(operation(READ, "a")))).toMatchObject({
    kind: "no",
    refusal: { code: "shard-unavailable" },
  });
});

test("reads of a lost link end, those of others go on", async () => {
  const { node, hooks } = createNode();
  const release = hooks.hold("before begin");
  const lost = node.handle(LINK, read(operation(READ, "a")));
  const other = node.handle("another link", read(operation(READ, "a")));
  await settled();
  node.linkLost(LINK);
  release();
  expect(await lost).toMatchObject({ kind: "no", refusal: { code: "coordinator-changed" } });
  expect(await other).toMatchObject({ kind: "read" });
});

test("so many reads run at once; the others wait for their turn, and are refused when their time is over", async () => {
  const { node, hooks, clock } = createNode();
  const release = hooks.hold("before begin");
  const all = Array.from({ length: READ_CONNECTIONS + 2 }, () =>
    node.handle(LINK, read(operation(READ, "a"))),
  );
  await settled();
  const begun = (): number => hooks.reached.filter((point) => point === "before begin").length;
  expect(begun()).toBe(READ_CONNECTIONS);
  await clock.advance(999);
  const late = node.handle(LINK, read(operation(READ, "a")));
  await clock.advance(1);
  release();
  const replies = await Promise.all(all);
  expect(replies.map(({ kind }) => kind)).toEqual([
    ...Array.from({ length: READ_CONNECTIONS }, () => "read"),
    ...["no", "no"],
  ]);
  expect(replies.at(-1)).toMatchObject({ refusal: { code: "overloaded" } });
  expect(await late).toMatchObject({ kind: "read" });
  expect(begun()).toBe(READ_CONNECTIONS + 1);
});

test("a read that waits for its turn ends with its link, and gives no turn away", async () => {
  const { node, hooks } = createNode();
  const release = hooks.hold("before begin");
  const running = Array.from({ length: READ_CONNECTIONS }, () =>
    node.handle("another link", read(operation(READ, "a"))),
  );
  const lost = node.handle(LINK, read(operation(READ, "a")));
  const next = node.handle("another link", read(operation(READ, "a")));
  node.linkLost(LINK);
  expect(await lost).toMatchObject({ kind: "no", refusal: { code: "coordinator-changed" } });
  release();
  const kinds = (await Promise.all([...running, next])).map(({ kind }) => kind);
  expect(new Set(kinds)).toEqual(new Set(["read"]));
});

test("more reads than the bound are refused, and a participant that stops takes none", async () => {
  const { node, hooks } = createNode();
  const release = hooks.hold("before begin");
  const all = Array.from({ length: MAX_READS }, () =>
    node.handle(LINK, read(operation(READ, "a"))),
  );
  expect(await node.handle(LINK, read(operation(READ, "a")))).toMatchObject({
    kind: "no",
    refusal: { code: "overloaded" },
  });
  release();
  expect(new Set((await Promise.all(all)).map(({ kind }) => kind))).toEqual(new Set(["read"]));
  await node.stop();
  expect(await node.handle(LINK, read(operation(READ, "a")))).toMatchObject({
    kind: "no",
    refusal: { code: "draining" },
  });
});
