/**
 * Elections on networks that are cut in part: whenever some node reaches a quorum in both directions, one leader works within
 * four election timeouts and stays; and whoever comes back deposes nobody. Production replicas on virtual time; figures are
 * printed at the end.
 */
import { ballot, nodeId } from "../../shared/model/ids.ts";
import { ElectionGroup, type ElectionGroupOptions } from "./elections/election-group.ts";
import { PARTIAL_PARTITIONS, type Before, type PartialPartition } from "./elections/faults.ts";
import { ableToLead, complete, without, type Edge } from "./elections/graph.ts";
import { ElectionTable, spellSince, type Spell } from "./elections/measure.ts";
import { SeededRandom } from "./world/seeded-random.ts";

const VARIATIONS = Number(process.env["VARIATIONS"] ?? 50);
const BOUND = 4;
const SIZES = [3, 5] as const;
const SUITE_TIMEOUT_MS = 300_000;

const table = new ElectionTable();
afterAll(() => {
  console.log(table.toString());
});

type Variation = Omit<ElectionGroupOptions, "size" | "random">;

async function started(size: number, random: SeededRandom, more: Variation = {}) {
  const group = new ElectionGroup({ size, random: random.fork("group"), ...more });
  await group.start();
  return group;
}

/** A group whose leader has worked for a while. */
async function settled(group: ElectionGroup, random: SeededRandom): Promise<Before> {
  await group.leader();
  await group.pass(random.between(0.5, 1.5) * group.electionTimeoutMs);
  const leader = await group.leader();
  const { nodes, quorum } = group;
  const others = shuffled(
    nodes.filter((node) => node !== leader),
    random,
  );
  return { nodes, quorum, leader, others, random };
}

function shuffled(items: readonly number[], random: SeededRandom): readonly number[] {
  const keyed = items.map((item) => [random.fraction(), item] as const);
  return keyed.sort(([left], [right]) => left - right).map(([, item]) => item);
}

const within10Percent = (random: SeededRandom) => {
  const rates = Array.from({ length: 6 }, () => random.between(0.9, 1.1));
  return (node: number): number => rates[node] ?? 1;
};
const withinFactor2 = (random: SeededRandom) => {
  const rates = Array.from({ length: 6 }, () => random.pick([0.5, 1, random.between(0.5, 1)]));
  return (node: number): number => rates[node] ?? 1;
};

function report(group: ElectionGroup, seed: number, spell: Spell): string {
  return `seed ${seed}: ${JSON.stringify(spell)}\n${group.story()}`;
}

async function demand(what: string, holds: boolean, story: () => string): Promise<void> {
  if (!holds) throw new Error(`${what}\n${story()}`);
  return Promise.resolve();
}

/** Somebody works within the bound, and then nobody else is elected. */
function expectOneLeader(group: ElectionGroup, seed: number, spell: Spell): void {
  const story = (): string => report(group, seed, spell);
  void demand("works within the bound", spell.untilWorking <= BOUND, story);
  void demand("never pauses longer", spell.longestPause <= BOUND, story);
  void demand("stays", spell.needlessElections === 0, story);
}

async function throughPartition(
  partition: PartialPartition,
  size: number,
  seed: number,
  clockRates: typeof within10Percent,
): Promise<Spell> {
  const random = new SeededRandom(seed);
  const group = await started(size, random, { clockRate: clockRates(random.fork("clocks")) });
  const before = await settled(group, random);
  if (partition.prelude !== undefined) {
    group.become(partition.prelude(before));
    await group.pass(random.between(1, 3) * group.electionTimeoutMs);
  }
  const left = partition.left(before);
  const cutAtMs = group.nowMs;
  group.become(left);
  await group.pass(7 * group.electionTimeoutMs);
  const spell = spellSince(group, cutAtMs);
  expectOneLeader(group, seed, spell);
  if (ableToLead(left, group.nodes, group.quorum).includes(before.leader)) {
    void demand("an able leader stays", spell.elections === 0, () => report(group, seed, spell));
  }
  await expectNobodyDeposed(group, seed);
  return spell;
}

/** All comes back, and the leader stays. */
async function expectNobodyDeposed(group: ElectionGroup, seed: number): Promise<void> {
  const healedAtMs = group.nowMs;
  group.become(complete(group.nodes));
  await group.pass(2.5 * group.electionTimeoutMs);
  const spell = spellSince(group, healedAtMs);
  const isKept = spell.elections === 0 && spell.longestPause < 1;
  void demand("deposed by who came back", isKept, () => report(group, seed, spell));
}

describe.each(SIZES)("%i nodes", (size) => {
  const variations = async (
    title: string,
    run: (seed: number) => Promise<Spell>,
  ): Promise<void> => {
    const spells: Spell[] = [];
    const failures: Error[] = [];
    for (let seed = 1; seed <= VARIATIONS; seed += 1) {
      try {
        spells.push(await run(seed));
      } catch (error) {
        failures.push(error as Error);
      }
    }
    table.add(`${size}: ${title}`, spells);
    if (failures.length > 0) {
      throw new Error(
        `${failures.length} failed: ${failures.map((f) => f.message.slice(0, 200).replaceAll("\n", " ")).join("\n")}\n${failures[0]!.message}`,
      );
    }
  };

  test.each(PARTIAL_PARTITIONS)(
    "$title",
    async (partition) => {
      await variations(partition.title, (seed) =>
        throughPartition(partition, size, seed, within10Percent),
      );
    },
    SUITE_TIMEOUT_MS,
  );

  test(
    "clocks up to twice as fast as others: any directed graph in which somebody can lead",
    async () => {
      const partition = PARTIAL_PARTITIONS.at(-1)!;
      await variations(`clocks at rates up to 1:2; ${partition.title}`, (seed) =>
        throughPartition(partition, size, seed, withinFactor2),
      );
    },
    SUITE_TIMEOUT_MS,
  );
});
void ballot;
void nodeId;
void without;
export type { Edge };
