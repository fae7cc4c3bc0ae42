/** Partial partitions, each given as the graph that is left of a complete one, seen from the node that leads. */
import type { SeededRandom } from "../world/seeded-random.ts";
import { anyGraph, ableToLead, chain, complete, star, without, type Graph } from "./graph.ts";

export interface Before {
  readonly nodes: readonly number[];
  readonly quorum: number;
  readonly leader: number;
  /** The others, in any order. */
  readonly others: readonly number[];
  readonly random: SeededRandom;
}

export interface PartialPartition {
  readonly title: string;
  /** Stands for a while before the other. */
  readonly prelude?: (before: Before) => Graph;
  readonly left: (before: Before) => Graph;
}

export function anOther({ others }: Before): number {
  const [other] = others;
  if (other === undefined) throw new Error("a group has more than one node");
  return other;
}

export function shuffled(items: readonly number[], random: SeededRandom): readonly number[] {
  const keyed = items.map((item) => [random.fraction(), item] as const);
  return keyed.sort(([left], [right]) => left - right).map(([, item]) => item);
}

export function isBetween(one: number, another: number): (from: number, to: number) => boolean {
  return (from, to) => (from === one && to === another) || (from === another && to === one);
}

/** Among those whose disks are well. */
export function anyThatSomebodyCanLead(
  { nodes, quorum, random }: Before,
  well: readonly number[],
): Graph {
  for (;;) {
    const graph = anyGraph(nodes, random.between(0.4, 0.95), random);
    if (ableToLead(graph, well, quorum).length > 0) return graph;
  }
}

export const PARTIAL_PARTITIONS: readonly PartialPartition[] = [
  {
    title: "quorum loss: all are linked with one follower only",
    left: (before) => star(anOther(before), before.nodes),
  },
  {
    title: "chained, the leader at an end",
    left: ({ leader, others }) => chain([leader, ...others]),
  },
  {
    title: "chained, the leader anywhere",
    left: ({ nodes, random }) => chain(shuffled(nodes, random)),
  },
  {
    title: "constrained: the leader is gone, and only one that is behind reaches a quorum",
    prelude: (before) => without(complete(before.nodes), isBetween(before.leader, anOther(before))),
    left: (before) => star(anOther(before), before.others),
  },
  {
    title: "the leader only sends",
    left: ({ nodes, leader }) => without(complete(nodes), (_, to) => to === leader),
  },
  {
    title: "the leader only receives",
    left: ({ nodes, leader }) => without(complete(nodes), (from) => from === leader),
  },
  {
    title: "a follower only sends",
    left: (before) => without(complete(before.nodes), (_, to) => to === anOther(before)),
  },
  {
    title: "a follower only receives",
    left: (before) => without(complete(before.nodes), (from) => from === anOther(before)),
  },
  {
    title: "a follower does not hear the leader, and all hear it",
    left: (before) =>
      without(
        complete(before.nodes),
        (from, to) => from === before.leader && to === anOther(before),
      ),
  },
  {
    title: "the leader is isolated",
    left: ({ nodes, leader }) =>
      without(complete(nodes), (from, to) => from === leader || to === leader),
  },
];

export const ANY_GRAPH: PartialPartition = {
  title: "any directed graph in which somebody can lead",
  left: (before) => anyThatSomebodyCanLead(before, before.nodes),
};
