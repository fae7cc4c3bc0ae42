/** Courses in which one disk hangs, or takes longer for each write than all wait for a sign of life. */
import { ballot, nodeId } from "../../../shared/model/ids.ts";
import type { SeededRandom } from "../world/seeded-random.ts";
import {
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

/** In election timeouts of the slowest clock. */
const FAULT_LASTS = 8;

export type DiskFault = (group: ElectionGroup, node: number, random: SeededRandom) => void;

export const hangs: DiskFault = (group, node) => {
  group.hangDisk(node, FAULT_LASTS * group.electionTimeoutMs);
};

/** For good. */
export const isSlow: DiskFault = (group, node, random) => {
  group.slowDisk(node, () => random.between(1.1, 3) * group.electionTimeoutMs);
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
  fault(group, broken, random);
  await group.pass((FAULT_LASTS / 2) * group.electionTimeoutMs);
  const settledAtMs = group.nowMs;
  await group.pass((FAULT_LASTS / 2) * group.electionTimeoutMs);
  const spell = spellSince(group, brokenAtMs);
  demandNoLongPause(spell, group);
  demandSameLeader(spellSince(group, settledAtMs), group);
  await demandNobodyDeposed(group);
  return spell;
}
