/** The shapes of partitions: which machines stop hearing which. A wall stands in one direction. */
import type { SeededRandom } from "./world/seeded-random.ts";

/** One direction of one wall. */
export type Wall = readonly [from: string, to: string];

export function between(left: readonly string[], right: readonly string[]): readonly Wall[] {
  return left.flatMap((from) => right.map((to): Wall => [from, to]));
}

export function bothWays(left: readonly string[], right: readonly string[]): readonly Wall[] {
  return [...between(left, right), ...between(right, left)];
}

export interface Parties {
  readonly nodes: readonly string[];
  readonly shards: readonly string[];
  readonly leader: string | undefined;
}

const SHAPES = ["island", "mute", "deaf", "halves", "pair", "chain", "star"] as const;
type Shape = (typeof SHAPES)[number];

export interface Partition {
  readonly shape: Shape;
  readonly walls: readonly Wall[];
}

export function drawPartition(random: SeededRandom, parties: Parties): Partition {
  const shape = random.pick(SHAPES);
  return { shape, walls: wallsOf(shape, random, parties) };
}

function wallsOf(
  shape: Shape,
  random: SeededRandom,
  { nodes, shards, leader }: Parties,
): readonly Wall[] {
  const machines = [...nodes, ...shards];
  const one = leader !== undefined && random.chance(0.5) ? leader : random.pick(nodes);
  const without = (all: readonly string[], out: string): readonly string[] =>
    all.filter((machine) => machine !== out);
  switch (shape) {
    case "island":
      return bothWays([one], without(machines, one));
    case "mute":
      return between([one], without(nodes, one));
    case "deaf":
      return between(without(nodes, one), [one]);
    case "halves": {
      const left = machines.filter(() => random.chance(0.5));
      const right = machines.filter((machine) => !left.includes(machine));
      return bothWays(left, right);
    }
    case "pair": {
      const from = random.pick(machines);
      const to = random.pick(without(machines, from));
      return random.chance(0.5) ? between([from], [to]) : bothWays([from], [to]);
    }
    case "chain":
      // Each hears its neighbours alone.
      return nodes.flatMap((node, place) => bothWays([node], nodes.slice(place + 2)));
    case "star":
      // All hear the one in the middle, who may not be the leader, and nobody else.
      return without(nodes, one).flatMap((node, place, rim) =>
        bothWays([node], rim.slice(place + 1)),
      );
  }
}
