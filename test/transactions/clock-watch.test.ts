/** A leader whose clock is far from what the log says is told so. */
import { createCoordinatorNode } from "../../coordinator/coordinator-node.ts";
import { MemoryDisk } from "../../coordinator/log/memory-disk.ts";
import { MemoryLog } from "../../coordinator/log/memory-log.ts";
import { ClockWatch } from "../../coordinator/transactions/clock-watch.ts";
import { clusterId } from "../../shared/model/ids.ts";
import { systemRandom } from "../../shared/runtime/clock.ts";
import { configOf } from "../paxos/support/group.ts";
import { collectedLog } from "../support/collected-log.ts";
import { ManualClock } from "./support/manual-clock.ts";

const MINUTE_MS = 60_000;

interface Past {
  /** The leader's before, when its last command was applied here; this node's own then says 0. */
  readonly otherMs: number;
  readonly isFresh: boolean;
  readonly sinceMs: number;
}

function told({ otherMs, isFresh, sinceMs }: Past): readonly string[] {
  const [clock, log] = [new ManualClock(), collectedLog()];
  const watch = new ClockWatch(clock, log);
  watch.applied(otherMs, isFresh);
  clock.pass(sinceMs);
  watch.elected();
  return log.lines;
}

const AHEAD = ["warn: this node's clock is far ahead of that of the leader before"];
const BEHIND = ["warn: this node's clock is far behind that of the leader before"];

test.each([
  { otherMs: -MINUTE_MS - 1, isFresh: true, sinceMs: 5 * MINUTE_MS, expected: AHEAD },
  { otherMs: -MINUTE_MS, isFresh: true, sinceMs: 5 * MINUTE_MS, expected: [] },
  { otherMs: MINUTE_MS, isFresh: true, sinceMs: 5 * MINUTE_MS, expected: [] },
  { otherMs: MINUTE_MS + 1, isFresh: true, sinceMs: 5 * MINUTE_MS, expected: BEHIND },
  { otherMs: -90 * MINUTE_MS, isFresh: false, sinceMs: 0, expected: [] },
  { otherMs: MINUTE_MS + 1, isFresh: false, sinceMs: 0, expected: BEHIND },
])("the leader before said $otherMs, fresh: $isFresh, $sinceMs ms ago", ({ expected, ...past }) => {
  expect(told(past)).toEqual(expected);
});

test("who knows no other's clock says nothing", () => {
  const log = collectedLog();
  new ClockWatch(new ManualClock(), log).elected();
  expect(log.lines).toEqual([]);
});

class OffClock extends ManualClock {
  readonly #offMs: number;

  constructor(offMs: number) {
    super();
    this.#offMs = offMs;
  }

  override wallMs(): number {
    return super.wallMs() + this.#offMs;
  }
}

/** A group of one, from its start until it leads. Its log's lines above info. */
async function warningsOfALife(disk: MemoryDisk, wallMs: number): Promise<readonly string[]> {
  const [clock, logger] = [new OffClock(wallMs), collectedLog()];
  const node = createCoordinatorNode({
    ...{ clusterId: clusterId("watched"), paxos: configOf(1, 1), tickIntervalMs: 20 },
    ...{ snapshots: { minGrowthBytes: Infinity }, log: new MemoryLog({ disk, clock }) },
    peers: { send: () => undefined, onMessage: () => undefined, onPeerLost: () => undefined },
    links: {
      ...{ shards: [], connected: () => undefined, onChange: () => undefined },
      request: () => Promise.reject(new Error("there is no shard")),
    },
    ...{ clock, logger, random: systemRandom },
    onFatal: (error) => {
      throw error;
    },
  });
  await node.start();
  while (!logger.lines.includes("info: leading")) {
    clock.pass(20);
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
  const stopped = node.stop();
  clock.pass(1);
  await stopped;
  return logger.lines.filter((line) => !line.startsWith("info: "));
}

test("a node that leads with a clock behind what its log says warns, and only then", async () => {
  const disk = new MemoryDisk("disk");
  expect(await warningsOfALife(disk, 9_000 * MINUTE_MS)).toEqual([]);
  expect(await warningsOfALife(disk, 90 * MINUTE_MS)).toEqual(BEHIND);
  expect(await warningsOfALife(disk, 9_000 * MINUTE_MS)).toEqual([]);
});
