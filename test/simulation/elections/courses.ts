/**
 * One run each: a group whose leader has worked for a while, something that happens to it, what must come of it, and what it
 * took. Every node's clock has a rate of its own.
 */
import { ballot, nodeId } from "../../../shared/model/ids.ts";
import type { SeededRandom } from "../world/seeded-random.ts";
import { ElectionGroup, type ElectionGroupOptions } from "./election-group.ts";
import { anOther, isBetween, shuffled, type Before, type PartialPartition } from "./faults.ts";
import { ableToLead, complete, without, type Graph } from "./graph.ts";
import { spellSince, type Spell } from "./measure.ts";

/** In election timeouts of the slowest clock. */
export const BOUND = 4;

export interface Setting {
  readonly size: number;
  readonly random: SeededRandom;
  /** The fastest clock runs at most so many times as fast as the slowest. */
  readonly clockSpread: number;
}

export interface Flapping {
  /** The graph while the link between the leader and the first of the others is there. */
  readonly up: (before: Before) => Graph;
  readonly maxElections: number;
}

export async function started(
  { size, random, clockSpread }: Setting,
  more: Pick<ElectionGroupOptions, "promised" | "absent"> = {},
): Promise<ElectionGroup> {
  const clocks = random.fork("clocks");
  const rates = Array.from({ length: size }, () => clocks.between(1, clockSpread));
  const clockRate = (node: number): number => (rates[node - 1] ?? 1) / Math.sqrt(clockSpread);
  const group = new ElectionGroup({ size, random: random.fork("group"), clockRate, ...more });
  await group.start();
  return group;
}

export async function settled(group: ElectionGroup, random: SeededRandom): Promise<Before> {
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

function demand(what: string, holds: boolean, spell: Spell, group: ElectionGroup): void {
  if (!holds) throw new Error(`not so: ${what}\n${JSON.stringify(spell)}\n${group.story()}`);
}

export function demandNoLongPause(spell: Spell, group: ElectionGroup, bound = BOUND): void {
  demand("somebody works within the bound", spell.untilWorking <= bound, spell, group);
  demand("nor is there a longer pause later", spell.longestPause <= bound, spell, group);
}

/** Somebody works within the bound, and then nobody else is elected. */
function demandOneLeader(spell: Spell, group: ElectionGroup): void {
  demandNoLongPause(spell, group);
  demand("the first who works stays", spell.needlessElections === 0, spell, group);
}

export function demandSameLeader(spell: Spell, group: ElectionGroup): void {
  const isKept = spell.elections === 0 && spell.longestPause < 1;
  demand("the leader stays and works", isKept, spell, group);
}

/** All links come back. */
export async function demandNobodyDeposed(group: ElectionGroup): Promise<void> {
  const healedAtMs = group.nowMs;
  group.become(complete(group.nodes));
  await group.pass(2 * group.electionTimeoutMs);
  demandSameLeader(spellSince(group, healedAtMs), group);
}

export async function throughPartition(
  partition: PartialPartition,
  setting: Setting,
): Promise<Spell> {
  const group = await started(setting);
  const before = await settled(group, setting.random);
  if (partition.prelude !== undefined) {
    group.become(partition.prelude(before));
    await group.pass(setting.random.between(1, 3) * group.electionTimeoutMs);
  }
  const left = partition.left(before);
  const cutAtMs = group.nowMs;
  group.become(left);
  await group.pass(6 * group.electionTimeoutMs);
  const spell = spellSince(group, cutAtMs);
  demandOneLeader(spell, group);
  const isAble = ableToLead(left, group.nodes, group.quorum).includes(before.leader);
  if (isAble) demandSameLeader(spell, group);
  await demandNobodyDeposed(group);
  return spell;
}

/** The link between the leader and another node comes and goes; the other links stand as they are. */
export async function throughFlapping(flapping: Flapping, setting: Setting): Promise<Spell> {
  const group = await started(setting);
  const before = await settled(group, setting.random);
  const up = flapping.up(before);
  const down = without(up, isBetween(before.leader, anOther(before)));
  const fromMs = group.nowMs;
  for (let isUp = false; group.nowMs < fromMs + 8 * group.electionTimeoutMs; isUp = !isUp) {
    group.become(isUp ? up : down);
    await group.pass(setting.random.between(0.2, 2) * group.electionTimeoutMs);
  }
  const spell = spellSince(group, fromMs);
  demand("there is no long pause", spell.longestPause <= BOUND, spell, group);
  const isAtRest = spell.elections <= flapping.maxElections;
  demand("leadership comes to rest", isAtRest, spell, group);
  await demandNobodyDeposed(group);
  return spell;
}

/** A process is stopped for longer than an election timeout, and goes on. */
export async function throughPause(whom: "leader" | "follower", setting: Setting): Promise<Spell> {
  const group = await started(setting);
  const before = await settled(group, setting.random);
  const old = group.elected.at(-1)?.ballot;
  const paused = whom === "leader" ? before.leader : anOther(before);
  const pausedAtMs = group.nowMs;
  group.pause(paused);
  await group.pass(setting.random.between(1, 6) * group.electionTimeoutMs);
  const resumedAtMs = group.nowMs;
  group.resume(paused);
  await group.pass(4 * group.electionTimeoutMs);
  const spell = spellSince(group, pausedAtMs);
  if (whom === "follower") demandSameLeader(spell, group);
  else demandOneLeader(spell, group);
  const saidLate = group.spoken.some(
    (spoken) => spoken.node === paused && spoken.ballot === old && spoken.atMs >= resumedAtMs,
  );
  demand("a leader that was away says no more under its ballot", !saidLate, spell, group);
  return spell;
}

/** A node promised a ballot above the leader's in an earlier life, and comes back: it follows, and deposes nobody. */
export async function throughReturn(setting: Setting): Promise<Spell> {
  const { size, random } = setting;
  const returning = 1 + random.integer(size);
  const promised = ballot(random.pick([2, 50]), nodeId(returning));
  const group = await started(setting, {
    absent: [returning],
    promised: (node) => (node === returning ? promised : undefined),
  });
  const { leader } = await settled(group, random);
  const returnsAtMs = group.nowMs;
  await group.startNode(returning);
  await group.pass(4 * group.electionTimeoutMs);
  const spell = spellSince(group, returnsAtMs);
  demandSameLeader(spell, group);
  const { leader: followed, chosenUpTo } = group.replica(returning);
  const isUpToDate = chosenUpTo + 16 >= group.replica(leader).chosenUpTo;
  demand("who comes back follows", followed?.node === leader && isUpToDate, spell, group);
  return spell;
}
