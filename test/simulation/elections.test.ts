/**
 * Elections where the network is cut in part or a disk fails: whenever some node whose disk works reaches a quorum of such in
 * both directions, one leader works within four election timeouts (eight where another's disk is slow) and stays, and whoever
 * comes back deposes nobody. Production replicas on virtual time; each row of the table printed at the end is one scenario in
 * many variations.
 */
import {
  throughFlapping,
  throughPartition,
  throughPause,
  throughReturn,
  type Setting,
} from "./elections/courses.ts";
import { HANGS, IS_SLOW, throughDiskOfAny, throughNeededDisk } from "./elections/disk-courses.ts";
import { ANY_GRAPH, anOther, PARTIAL_PARTITIONS } from "./elections/faults.ts";
import { complete, star } from "./elections/graph.ts";
import { ElectionTable, type Spell } from "./elections/measure.ts";
import { SeededRandom } from "./world/seeded-random.ts";

const VARIATIONS = 50;
const PATIENCE_MS = 300_000;

interface Scenario {
  readonly title: string;
  readonly clockSpread?: number;
  readonly run: (setting: Setting) => Promise<Spell>;
}

const SCENARIOS: readonly Scenario[] = [
  ...[...PARTIAL_PARTITIONS, ANY_GRAPH].map((partition): Scenario => ({
    title: partition.title,
    run: (setting) => throughPartition(partition, setting),
  })),
  {
    title: `${ANY_GRAPH.title}; some clocks run twice as fast`,
    clockSpread: 2,
    run: (setting) => throughPartition(ANY_GRAPH, setting),
  },
  {
    title: "the link between the leader and a follower comes and goes",
    run: (setting) =>
      throughFlapping({ up: ({ nodes }) => complete(nodes), maxElections: 0 }, setting),
  },
  {
    title: "the leader's only link comes and goes",
    run: (setting) =>
      throughFlapping(
        { up: (before) => star(anOther(before), before.nodes), maxElections: 2 },
        setting,
      ),
  },
  {
    title: "the leader's process is paused, and goes on",
    run: (setting) => throughPause("leader", setting),
  },
  {
    title: "a follower's process is paused, and goes on",
    run: (setting) => throughPause("follower", setting),
  },
  {
    title: "a node comes back that promised more than the leader's ballot",
    run: throughReturn,
  },
  {
    title: "the disk of a follower hangs whose vote the leader needs",
    run: (setting) => throughNeededDisk(HANGS, setting),
  },
  {
    title: "the disk of a follower is slower than the timeout, whose vote the leader needs",
    run: (setting) => throughNeededDisk(IS_SLOW, setting),
  },
  {
    title: "one disk hangs, and any graph in which somebody can lead without it",
    run: (setting) => throughDiskOfAny(HANGS, setting),
  },
  {
    title:
      "one disk is slower than the timeout, and any graph in which somebody can lead without it",
    run: (setting) => throughDiskOfAny(IS_SLOW, setting),
  },
];

const table = new ElectionTable();
afterAll(() => {
  console.log(table.toString());
});

describe.each([3, 5])("%i nodes", (size) => {
  test.each(SCENARIOS)(
    "$title",
    async ({ title, clockSpread = 1.2, run }) => {
      const spells: Spell[] = [];
      for (let seed = 1; seed <= VARIATIONS; seed += 1) {
        const random = new SeededRandom(seed);
        try {
          spells.push(await run({ size, random, clockSpread }));
        } catch (error) {
          throw new Error(`variation ${seed}`, { cause: error });
        }
      }
      table.add(`${size}: ${title}`, spells);
      expect(spells).toHaveLength(VARIATIONS);
    },
    PATIENCE_MS,
  );
});
