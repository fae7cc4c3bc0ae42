/** Courses in which one disk hangs, or takes longer for each write than all wait for a sign of life. */
import { ballot, nodeId } from "../../../shared/model/ids.ts";
import type { SeededRandom } from "../world/seeded-random.ts";
import {
  BOUND,
  demandNobodyDeposed,
  demandNoLongPause,
  demandSameLeader,
  settled,
  started,
  type Setting,
} from "./courses.ts";
import type { ElectionGroup } from "./election-group.ts";
import { anyThatSomebodyCanLead, shuffled, type Before } from "./faults.ts";
import { ableToLead, complete, type Graph } from "./graph.ts";
import { spellSince, type Spell } from "./measure.ts";

export interface DiskFault {
  /** Within how many election timeouts of the slowest clock somebody works; it lasts for twice as long. */
  readonly bound: number;
  readonly begin: (group: ElectionGroup, node: number, random: SeededRandom) => void;
}

export const HANGS: DiskFault = {
  bound: BOUND,
  begin: (group, node) => {
    group.hangDisk(node, 2 * BOUND * group.electionTimeoutMs);
  },
};

/**
 * For good. Between two writes such a node grants what it will promise too late, and each campaign that counts on it holds up the
 * others once more.
 */
export const IS_SLOW: DiskFault = {
  bound: 2 * BOUND,
  begin: (group, node, random) => {
    group.slowDisk(node, () => random.between(1.1, 3) * group.electionTimeoutMs);
  },
};

/**
 * So many nodes as a quorum can do without have promised more than the leader's ballot, and vote for nothing under it. Then
 * one of the disks fails that the leader needs.
 */
export async function throughNeededDisk(fault: DiskFault, setting: Setting): Promise<Spell> {
  const { size, random } = setting;
  const nodes = Array.from({ length: size }, (_, index) => index + 1);
  const returning = shuffled(nodes, random).slice(0, (size - 1) / 2);
  const group = await started(setting, {
    absent: returning,
    promised: (node) => (returning.includes(node) ? ballot(50, nodeId(node)) : undefined),
  });
  await group.leader();
  for (const node of returning) await group.startNode(node);
  const before = await settled(group, random);
  const [broken = 0] = before.others.filter((node) => !returning.includes(node));
  return demandWorkWithout(broken, fault, complete(nodes), group, before);
}

/** The disk of any node fails, and the network with it. */
export async function throughDiskOfAny(fault: DiskFault, setting: Setting): Promise<Spell> {
  const group = await started(setting);
  const before = await settled(group, setting.random);
  const [broken = 0, ...well] = shuffled(before.nodes, setting.random);
  const left = anyThatSomebodyCanLead(before, well);
  const brokenAtMs = group.nowMs;
  const spell = await demandWorkWithout(broken, fault, left, group, before);
  const isAble = ableToLead(left, well, before.quorum).includes(before.leader);
  if (isAble) demandSameLeader(spellSince(group, brokenAtMs), group);
  return spell;
}

async function demandWorkWithout(
  broken: number,
  fault: DiskFault,
  left: Graph,
  group: ElectionGroup,
  { random }: Before,
): Promise<Spell> {
  const brokenAtMs = group.nowMs;
  group.become(left);
  fault.begin(group, broken, random);
  await group.pass(fault.bound * group.electionTimeoutMs);
  const settledAtMs = group.nowMs;
  await group.pass(fault.bound * group.electionTimeoutMs);
  const spell = spellSince(group, brokenAtMs);
  demandNoLongPause(spell, group, fault.bound);
  demandSameLeader(spellSince(group, settledAtMs), group);
  await demandNobodyDeposed(group);
  return spell;
}
