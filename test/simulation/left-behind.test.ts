/** Whoever was away for long comes back under load: it gets a snapshot and all that was chosen meanwhile, and stays bounded. */
import { nextSlot } from "../../shared/model/ids.ts";
import { ElectionGroup, type Load } from "./elections/election-group.ts";
import { SeededRandom } from "./world/seeded-random.ts";

/** A snapshot is taken about every second and needs longer to be fetched, while the log grows by more than its trailing part. */
const LOAD: Load = {
  ...{ submitIntervalMs: 10, commandBytes: 8_000, meanDelayMs: 8 },
  ...{ snapshotChunks: 500, snapshotChunkBytes: 2_048 },
};
const SECONDS = 20;
/** What a follower in step may lack: a heartbeat's worth, and the way. */
const IN_STEP_SLOTS = 32;

test.each([1, 2, 3])(
  "a node that was away catches up while the others go on, seed %i",
  async (seed) => {
    const group = new ElectionGroup({
      ...{ size: 3, random: new SeededRandom(seed), absent: [3], load: LOAD },
    });
    await group.start();
    const leader = await group.leader();
    await group.pass(5_000);
    await group.startNode(3);
    let mostAhead = 0;
    for (let second = 0; second < SECONDS; second += 1) {
      await group.pass(1_000);
      const state = group.replica(3).state;
      const ahead = state === undefined ? [] : [...state.log.from(nextSlot(state.chosenUpTo))];
      mostAhead = Math.max(mostAhead, ahead.length);
    }
    const of = (node: number, what: string): number =>
      group.snapshots.filter((event) => event.node === node && event.what === what).length;
    expect(of(leader, "taken")).toBeGreaterThan(SECONDS / 2);
    expect(of(3, "restored")).toBe(1);
    const lackingSlots = group.replica(leader).chosenUpTo - group.replica(3).chosenUpTo;
    expect(lackingSlots).toBeLessThan(IN_STEP_SLOTS);
    expect(mostAhead).toBeLessThanOrEqual(group.replica(3).state?.config.acceptAheadSlots ?? 0);
    expect(group.works.at(-1)?.atMs).toBeGreaterThan(group.nowMs - 1_000);
  },
  120_000,
);
