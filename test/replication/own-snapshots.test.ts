/** When a node takes a snapshot of its own, and of what. */
import type { LogStore } from "../../coordinator/log/log-store.ts";
import { SAVE_STALL_LIMIT_MS } from "../../coordinator/replication/save-watch.ts";
import { FETCH_LIMITS } from "../../coordinator/replication/snapshot-fetch.ts";
import { SLOT_BYTES } from "../../coordinator/replication/snapshots.ts";
import { slot } from "../../shared/model/ids.ts";
import { bytes, own, PEER, SnapshotBench } from "./support/snapshot-bench.ts";

test("own snapshots are taken when the log has grown by as much as the policy says, not sooner", async () => {
  const bench = await SnapshotBench.open(3);
  await bench.apply(2);
  expect(bench.saved).toEqual([]);
  await bench.apply(1);
  expect(bench.saved).toEqual([own(3)]);
  await bench.count(3);
  await bench.apply(2);
  expect(bench.taken).toEqual([3]);
  await bench.apply(1);
  expect(bench.saved).toEqual([own(3), own(6)]);
});

test("own snapshots wait until the log has grown by the size of the last one, so that they cost no more than the log", async () => {
  const bench = await SnapshotBench.open(1);
  bench.image = [new Uint8Array(3 * SLOT_BYTES)];
  await bench.apply(1);
  await bench.count(1);
  await bench.apply(2);
  expect(bench.taken).toEqual([1]);
  await bench.apply(1);
  expect(bench.taken).toEqual([1, 4]);
});

test("own snapshots go by the size of the one that was restored, too", async () => {
  const bench = await SnapshotBench.open(1);
  expect([...bench.snapshots.restoring([new Uint8Array(2 * SLOT_BYTES)])]).toHaveLength(1);
  await bench.apply(1);
  expect(bench.taken).toEqual([]);
  await bench.apply(1);
  expect(bench.taken).toEqual([2]);
});

test("own snapshots count large values for what they are", async () => {
  const bench = await SnapshotBench.open(10);
  bench.state = { ...bench.state, chosenUpTo: slot(1) };
  bench.snapshots.applied({ slot: slot(1), value: new Uint8Array(10 * SLOT_BYTES) });
  bench.snapshots.takeIfDue();
  await bench.settle();
  expect(bench.taken).toEqual([1]);
});

test("own snapshots are never taken where the policy says never", async () => {
  const bench = await SnapshotBench.open(Infinity);
  await bench.apply(1_000);
  expect(bench.taken).toEqual([]);
});

test("own snapshots are images of the slot at which they were begun, one at a time", async () => {
  const bench = await SnapshotBench.open(1);
  bench.writes = 50;
  await bench.apply(1);
  bench.image = [bytes(9)];
  await bench.apply(5);
  bench.clock.pass(50);
  await bench.settle();
  bench.clock.pass(50);
  await bench.settle();
  bench.clock.pass(50);
  await bench.settle();
  bench.writes = 0;
  expect(bench.saved).toEqual([own(1)]);
  await bench.count(1);
  expect(await bench.ask(PEER, 1, 0)).toMatchObject([{ bytes: bytes(1), wholeCrc: null }]);
});

test("own snapshots that the disk does not take stop the node", async () => {
  const bench = await SnapshotBench.open(1);
  bench.writes = "fail";
  await bench.apply(1);
  expect(bench.failures).toHaveLength(1);
  expect(bench.saved).toEqual([]);
});

test("own snapshots say nothing once the node has stopped", async () => {
  const bench = await SnapshotBench.open(1);
  bench.writes = 10;
  await bench.apply(1);
  bench.snapshots.stop();
  for (let count = 0; count < 3; count += 1) {
    bench.clock.pass(10);
    await bench.settle();
  }
  expect([bench.saved, bench.taken, bench.failures]).toEqual([[], [], []]);
});

/** A store that is at work for ever once it has taken so many chunks; undefined: on all that comes behind the last. */
const hanging =
  (afterChunks: number | undefined) =>
  (log: LogStore): LogStore => ({
    open: () => log.open(),
    append: (records) => log.append(records),
    keepSnapshots: (slots) => log.keepSnapshots(slots),
    readSnapshotChunk: (at, chunk) => log.readSnapshotChunk(at, chunk),
    close: () => log.close(),
    saveSnapshot: async (_, chunks) => {
      let taken = 0;
      if (afterChunks !== 0) {
        for await (const chunk of chunks) {
          taken += chunk.length > 0 ? 1 : 0;
          if (taken === afterChunks) break;
        }
      }
      await new Promise(() => undefined);
    },
  });

test.each([0, 1, 2, undefined])(
  "a snapshot's write that never ends, after %s chunks, stops the node in the end",
  async (afterChunks) => {
    const bench = await SnapshotBench.open(1, hanging(afterChunks));
    await bench.apply(1);
    bench.clock.pass(SAVE_STALL_LIMIT_MS / 2);
    bench.clock.pass(SAVE_STALL_LIMIT_MS / 2 - 1);
    expect(bench.failures).toEqual([]);
    bench.clock.pass(1);
    expect(bench.failures).toMatchObject([{ name: "LogFailure" }]);
  },
);

test("a process that was stopped for long does not take its disk for hung", async () => {
  const bench = await SnapshotBench.open(1);
  bench.writes = 10;
  await bench.apply(1);
  for (let count = 0; count < 3; count += 1) {
    bench.clock.pass(10 * SAVE_STALL_LIMIT_MS);
    await bench.settle();
  }
  expect([bench.failures, bench.saved]).toEqual([[], [own(1)]]);
  expect(bench.clock.pending).toBe(0);
});

test("a fetch may wait for its peer as long as it will: only the disk is watched", async () => {
  const bench = await SnapshotBench.open();
  bench.fetch(7);
  await bench.settle();
  expect(bench.clock.pending).toBe(FETCH_LIMITS.chunksUnderWay);
});
