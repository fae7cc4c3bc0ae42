/** How a snapshot goes from one node to another: what is served, and what is fetched. */
import { LogCorruption, type LogStore } from "../../coordinator/log/log-store.ts";
import { checksum } from "../../coordinator/log/snapshot-chunks.ts";
import { slot, type NodeId } from "../../shared/model/ids.ts";
import { FETCH_LIMITS } from "../../coordinator/replication/snapshot-fetch.ts";
import { LEASE_SILENCE_MS } from "../../coordinator/replication/snapshot-leases.ts";
import { bytes, OTHER, PEER, peers, SnapshotBench, TIMEOUT_MS } from "./support/snapshot-bench.ts";

/** What a fetch asks for at once. */
const FIRST = Array.from({ length: FETCH_LIMITS.chunksUnderWay }, (_, index) => index);

test("what is served is handed out chunk by chunk, the last with the checksum of the whole", async () => {
  const bench = await SnapshotBench.open(1);
  await bench.apply(1);
  await bench.count(1);
  const wholeCrc = checksum(bytes(1, 2));
  const chunk = { kind: "snapshotChunk", slot: 1 };
  expect(await bench.ask(PEER, 1, 0)).toEqual([
    { ...chunk, chunk: 0, bytes: bytes(1), wholeCrc: null },
  ]);
  expect(await bench.ask(PEER, 1, 1)).toEqual([{ ...chunk, chunk: 1, bytes: bytes(2), wholeCrc }]);
  expect(await bench.ask(PEER, 1, 2)).toEqual([]);
});

test("whoever asks for one that is gone is told so; nothing is said of one that is not there yet", async () => {
  const bench = await SnapshotBench.open(1);
  await bench.apply(4);
  await bench.count(4);
  expect(await bench.ask(PEER, 2, 0)).toEqual([{ kind: "snapshotGone", slot: 2 }]);
  expect(await bench.ask(PEER, 5, 0)).toEqual([]);
});

test("one that a peer has begun to read is served although newer ones count, until it has been silent for long", async () => {
  const bench = await SnapshotBench.open(1);
  await bench.apply(1);
  await bench.count(1);
  await bench.ask(PEER, 1, 0);
  for (const at of [2, 3]) {
    bench.clock.pass(LEASE_SILENCE_MS - 1);
    await bench.settle();
    expect(await bench.ask(PEER, 1, 1)).toMatchObject([{ kind: "snapshotChunk", chunk: 1 }]);
    await bench.apply(1);
    await bench.count(at);
  }
  expect(await bench.ask(OTHER, 2, 0)).toEqual([{ kind: "snapshotGone", slot: 2 }]);
  expect(await bench.ask(OTHER, 3, 0)).toMatchObject([{ kind: "snapshotChunk", slot: 3 }]);
  bench.clock.pass(LEASE_SILENCE_MS);
  await bench.settle();
  expect(await bench.ask(PEER, 1, 1)).toEqual([{ kind: "snapshotGone", slot: 1 }]);
  expect(await bench.ask(PEER, 3, 1)).toMatchObject([{ kind: "snapshotChunk", slot: 3 }]);
});

test("what one peer reads ends with what it begins next", async () => {
  const bench = await SnapshotBench.open(1);
  await bench.apply(1);
  await bench.count(1);
  await bench.ask(PEER, 1, 0);
  await bench.apply(1);
  await bench.count(2);
  await bench.ask(PEER, 2, 0);
  expect(await bench.ask(PEER, 1, 1)).toEqual([{ kind: "snapshotGone", slot: 1 }]);
});

test("the log behind a snapshot that a peer reads is kept, until it has grown twice as much as between two snapshots", async () => {
  const bench = await SnapshotBench.open(2);
  await bench.apply(2);
  await bench.count(2);
  await bench.ask(PEER, 2, 0);
  for (const at of [4, 6, 8]) {
    await bench.apply(2);
    await bench.count(at);
  }
  const kept = bench.saved.map((input) => input.kind === "snapshotSaved" && input.keepAfter);
  expect(kept).toEqual([undefined, 2, 2, undefined]);
});

test("a few chunks are read at a time for each peer", async () => {
  const bench = await SnapshotBench.open(1);
  await bench.apply(1);
  await bench.count(1);
  const request = { kind: "snapshotRequest", slot: slot(1), chunk: 0 } as const;
  for (let count = 0; count < FETCH_LIMITS.chunksUnderWay; count += 1) {
    bench.snapshots.receive(PEER, request);
  }
  bench.snapshots.receive(PEER, { ...request, chunk: 1 });
  bench.snapshots.receive(OTHER, request);
  await bench.settle();
  const chunks = (node: NodeId): readonly unknown[] =>
    bench.sent
      .filter(({ to }) => to === node)
      .map(({ message }) => "chunk" in message && message.chunk);
  expect(chunks(PEER)).toEqual(new Array(FETCH_LIMITS.chunksUnderWay).fill(0));
  expect(chunks(OTHER)).toEqual([0]);
  bench.sent.length = 0;
  expect(await bench.ask(PEER, 1, 1)).toMatchObject([{ chunk: 1 }]);
});

test("damaged bytes do not leave the node, and a new snapshot takes their place", async () => {
  const damaged = (log: LogStore): LogStore => ({
    open: () => log.open(),
    append: (records) => log.append(records),
    saveSnapshot: (at, chunks) => log.saveSnapshot(at, chunks),
    keepSnapshots: (slots) => log.keepSnapshots(slots),
    readSnapshotChunk: () => Promise.reject(new LogCorruption("snapshot", 7, "A bad checksum")),
    close: () => log.close(),
  });
  const bench = await SnapshotBench.open(100, damaged);
  await bench.apply(100);
  await bench.count(100);
  expect(await bench.ask(PEER, 100, 0)).toEqual([]);
  expect(await bench.ask(PEER, 100, 0)).toEqual([]);
  expect(bench.damaged).toHaveLength(1);
  expect(bench.taken).toEqual([100]);
  await bench.apply(1);
  expect(bench.taken).toEqual([100, 101]);
  expect(bench.failures).toEqual([]);
});

test("a fetch asks for a few chunks at a time, and hands over what came when all is saved", async () => {
  const bench = await SnapshotBench.open();
  bench.fetch(7);
  await bench.settle();
  expect(bench.asked()).toEqual(FIRST);
  await bench.chunk(7, 0, bytes(1, 2));
  expect(bench.asked()).toEqual([FIRST.length]);
  expect(bench.saved).toEqual([]);
  await bench.chunk(7, 1, bytes(3), checksum(bytes(1, 2, 3)));
  expect(bench.saved).toEqual([peers(7)]);
  expect(bench.snapshots.takeFetched()).toEqual([bytes(1, 2), bytes(3)]);
  expect(bench.snapshots.takeFetched()).toEqual([]);
  await bench.count(7);
  expect(await bench.ask(OTHER, 7, 0)).toMatchObject([{ bytes: bytes(1, 2) }]);
});

test("chunks may come in any order, and no more are asked for than are not handed on", async () => {
  const bench = await SnapshotBench.open();
  bench.fetch(7);
  await bench.settle();
  bench.asked();
  await bench.chunk(7, 2, bytes(3), checksum(bytes(1, 2, 3)));
  await bench.chunk(7, 1, bytes(2));
  expect([bench.asked(), bench.saved]).toEqual([[], []]);
  bench.clock.pass(TIMEOUT_MS);
  await bench.settle();
  expect(bench.asked()).toEqual([0]);
  await bench.chunk(7, 0, bytes(1));
  expect(bench.saved).toEqual([peers(7)]);
  expect(bench.snapshots.takeFetched()).toEqual([bytes(1), bytes(2), bytes(3)]);
  expect(bench.clock.pending).toBe(0);
});

test("until a fetched snapshot is restored, no other is taken or fetched", async () => {
  const bench = await SnapshotBench.open(1);
  bench.fetch(7);
  await bench.settle();
  await bench.chunk(7, 0, bytes(1), checksum(bytes(1)));
  expect(bench.saved).toEqual([peers(7)]);
  await bench.apply(1);
  bench.fetch(8, OTHER);
  await bench.settle();
  expect(bench.taken).toEqual([]);
  expect(bench.sent.filter(({ to }) => to === OTHER)).toEqual([]);
  bench.snapshots.takeFetched();
  await bench.count(7);
  await bench.apply(7);
  expect(bench.taken).toEqual([8]);
  expect(bench.failures).toEqual([]);
});

test("a fetch takes no chunk of another peer, slot or place, and none that is empty or too large", async () => {
  const bench = await SnapshotBench.open();
  bench.fetch(7);
  await bench.settle();
  await bench.chunk(7, 0, bytes(1), null, OTHER);
  await bench.chunk(8, 0, bytes(1));
  await bench.chunk(7, FIRST.length, bytes(1));
  await bench.chunk(7, 0, bytes());
  await bench.chunk(7, 0, new Uint8Array(64 * 1024 + 1));
  expect(bench.asked()).toEqual(FIRST);
  await bench.chunk(7, 0, bytes(1));
  await bench.chunk(7, 0, bytes(1));
  expect(bench.asked()).toEqual([FIRST.length]);
});

test("a snapshot whose checksum is another is not saved", async () => {
  const bench = await SnapshotBench.open();
  bench.fetch(7);
  await bench.settle();
  await bench.chunk(7, 0, bytes(1), checksum(bytes(2)));
  expect(bench.saved).toEqual([]);
  expect(bench.abandoned).toEqual([expect.stringContaining("checksum")]);
  bench.fetch(7);
  await bench.settle();
  await bench.chunk(7, 0, bytes(2), checksum(bytes(2)));
  expect(bench.saved).toEqual([peers(7)]);
});

test("a chunk that does not come is asked for again, a few times, and then the next peer has its turn", async () => {
  const bench = await SnapshotBench.open();
  bench.fetch(7);
  await bench.settle();
  for (let tries = 0; tries < 10; tries += 1) {
    bench.clock.pass(TIMEOUT_MS);
    await bench.settle();
  }
  expect(bench.asked().filter((chunk) => chunk === 0)).toEqual([0, 0, 0, 0, 0]);
  expect(bench.abandoned).toEqual([expect.stringContaining("does not come")]);
  bench.fetch(6, OTHER);
  await bench.settle();
  expect(bench.sent.map(({ to }) => to)).toEqual(FIRST.map(() => OTHER));
});

test("offers change nothing for a fetch, also the same peer's of a newer one", async () => {
  const bench = await SnapshotBench.open();
  bench.fetch(7);
  bench.fetch(9, OTHER);
  bench.fetch(7);
  bench.fetch(8);
  await bench.settle();
  expect(bench.asked()).toEqual(FIRST);
  await bench.chunk(7, 0, bytes(1), checksum(bytes(1)));
  expect(bench.saved).toEqual([peers(7)]);
});

test("a fetch ends when its sender, and nobody else, says that this one is gone", async () => {
  const bench = await SnapshotBench.open();
  bench.fetch(7);
  await bench.settle();
  bench.snapshots.receive(OTHER, { kind: "snapshotGone", slot: slot(7) });
  bench.snapshots.receive(PEER, { kind: "snapshotGone", slot: slot(6) });
  await bench.settle();
  expect(bench.abandoned).toEqual([]);
  bench.snapshots.receive(PEER, { kind: "snapshotGone", slot: slot(7) });
  await bench.settle();
  expect(bench.abandoned).toEqual([expect.stringContaining("no more")]);
  bench.asked();
  bench.fetch(8);
  await bench.settle();
  expect(bench.sent[0]).toMatchObject({ to: PEER, message: { slot: 8 } });
});

test("a fetch ends when the node has come as far by itself", async () => {
  const bench = await SnapshotBench.open();
  bench.fetch(7);
  await bench.settle();
  bench.state = { ...bench.state, chosenUpTo: slot(7) };
  await bench.chunk(7, 0, bytes(1));
  expect(bench.asked()).toEqual(FIRST);
  expect(bench.abandoned).toEqual([expect.stringContaining("not needed")]);
});

test("a fetch waits for an own snapshot that is being written, and keeps off the next one", async () => {
  const bench = await SnapshotBench.open(1);
  bench.writes = 10;
  await bench.apply(1);
  bench.fetch(7);
  expect(bench.asked()).toEqual([]);
  bench.writes = 0;
  for (let count = 0; count < 3; count += 1) {
    bench.clock.pass(10);
    await bench.settle();
  }
  expect(bench.taken).toEqual([1]);
  bench.fetch(7);
  await bench.apply(5);
  expect(bench.asked()).toEqual(FIRST);
  expect(bench.taken).toEqual([1]);
});

test("a fetch ends with the node", async () => {
  const bench = await SnapshotBench.open();
  bench.fetch(7);
  await bench.settle();
  bench.snapshots.stop();
  await bench.settle();
  expect([bench.abandoned, bench.failures, bench.clock.pending]).toEqual([[], [], 0]);
  bench.fetch(7);
  expect(bench.asked()).toEqual(FIRST);
});
