/**
 * Elections on networks that are cut in part: whenever some node reaches a quorum in both directions, one leader works within
 * four election timeouts and stays; and whoever comes back deposes nobody. Production replicas on virtual time; figures are
 * printed at the end.
 */
import { ballot, nodeId } from "../../shared/model/ids.ts";
import { ElectionGroup, type ElectionGroupOptions } from "./elections/election-group.ts";
import {
  anOther,
  isBetween,
  PARTIAL_PARTITIONS,
  type Before,
  type PartialPartition,
} from "./elections/faults.ts";
import { ableToLead, complete, star, without, type Graph } from "./elections/graph.ts";
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

/** A follower promised a ballot far above the leader's in an earlier life, and comes back. */
async function throughReturn(size: number, seed: number): Promise<Spell> {
  const random = new SeededRandom(seed);
  const returning = 1 + random.integer(size);
  const group = await started(size, random, {
    clockRate: within10Percent(random.fork("clocks")),
    absent: [returning],
    promised: (node) =>
      node === returning ? ballot(random.pick([2, 50]), nodeId(returning)) : undefined,
  });
  await settled(group, random);
  const returnsAtMs = group.nowMs;
  await group.startNode(returning);
  await group.pass(4 * group.electionTimeoutMs);
  const spell = spellSince(group, returnsAtMs);
  expectKept(group, seed, spell);
  const { leader, chosenUpTo } = group.replica(returning);
  const working = await group.leader();
  await group.pass(group.electionTimeoutMs);
  void demand(
    "the one that came back follows",
    leader === working && group.replica(returning).chosenUpTo > chosenUpTo,
    () => report(group, seed, spell),
  );

  return spell;
}

/** The link between the leader and a follower comes and goes; the other links stand as they are. */
async function throughFlapping(
  rest: (before: Before) => Graph,
  maxElections: number,
  size: number,
  seed: number,
): Promise<Spell> {
  const random = new SeededRandom(seed);
  const group = await started(size, random, { clockRate: within10Percent(random.fork("clocks")) });
  const before = await settled(group, random);
  const up = rest(before);
  const down = without(up, isBetween(before.leader, anOther(before)));
  const fromMs = group.nowMs;
  for (let isUp = false; group.nowMs < fromMs + 10 * group.electionTimeoutMs; isUp = !isUp) {
    group.become(isUp ? up : down);
    await group.pass(random.between(0.2, 2) * group.electionTimeoutMs);
  }
  const spell = spellSince(group, fromMs);
  const story = (): string => report(group, seed, spell);
  void demand("never pauses longer", spell.longestPause <= BOUND, story);
  void demand("comes to rest", spell.elections <= maxElections, story);
  await expectNobodyDeposed(group, seed);
  return spell;
}

/** A process is stopped for longer than an election timeout, and goes on. */
async function throughPause(
  whom: "leader" | "follower",
  size: number,
  seed: number,
): Promise<Spell> {
  const random = new SeededRandom(seed);
  const group = await started(size, random, { clockRate: within10Percent(random.fork("clocks")) });
  const before = await settled(group, random);
  const paused = whom === "leader" ? before.leader : anOther(before);
  const pausedAtMs = group.nowMs;
  const { ballot: old } = group.elected.at(-1)!;
  group.pause(paused);
  await group.pass(random.between(1.1, 6) * group.electionTimeoutMs);
  const resumedAtMs = group.nowMs;
  group.resume(paused);
  await group.pass(4 * group.electionTimeoutMs);
  const spell = spellSince(group, pausedAtMs);
  if (whom === "follower") expectKept(group, seed, spell);
  else expectOneLeader(group, seed, spell);
  const stale = group.spoken.filter(
    ({ node, ballot: under, atMs }) => node === paused && under === old && atMs >= resumedAtMs,
  );
  void demand("nothing stale is said", stale.length === 0, () => report(group, seed, spell));
  return spell;
}

/** All comes back, and the leader stays. */
async function expectNobodyDeposed(group: ElectionGroup, seed: number): Promise<void> {
  const healedAtMs = group.nowMs;
  group.become(complete(group.nodes));
  await group.pass(2.5 * group.electionTimeoutMs);
  const spell = spellSince(group, healedAtMs);
  expectKept(group, seed, spell);
}

function expectKept(group: ElectionGroup, seed: number, spell: Spell): void {
  const isKept = spell.elections === 0 && spell.longestPause < 1;
  void demand("the leader stays and works", isKept, () => report(group, seed, spell));
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

  const one = async (title: string, run: (seed: number) => Promise<Spell>): Promise<void> =>
    variations(title, run);

  test(
    "clocks",
    async () => {
      const partition = PARTIAL_PARTITIONS.at(-1)!;
      await one(`clocks at rates up to 1:2; ${partition.title}`, (seed) =>
        throughPartition(partition, size, seed, withinFactor2),
      );
    },
    SUITE_TIMEOUT_MS,
  );
  test(
    "flapping complete",
    () =>
      one("flapping link leader-follower", (seed) =>
        throughFlapping(({ nodes }) => complete(nodes), 0, size, seed),
      ),
    SUITE_TIMEOUT_MS,
  );
  test(
    "flapping star",
    () =>
      one("flapping link leader-hub", (seed) =>
        throughFlapping(
          (before) =>
            star(
              anOther(before),
              before.nodes.filter((node) => node !== anOther(before)),
            ),
          2,
          size,
          seed,
        ),
      ),
    SUITE_TIMEOUT_MS,
  );
  test(
    "paused leader",
    () => one("the leader's process is paused", (seed) => throughPause("leader", size, seed)),
    SUITE_TIMEOUT_MS,
  );
  test(
    "paused follower",
    () => one("a follower's process is paused", (seed) => throughPause("follower", size, seed)),
    SUITE_TIMEOUT_MS,
  );
  test(
    "returning",
    () => one("returns with a higher promise", (seed) => throughReturn(size, seed)),
    SUITE_TIMEOUT_MS,
  );
});
