/**
 * Who reaches whom, as a directed graph over the nodes 1 to n: an edge `from>to` lets messages pass in that direction.
 */
import type { SeededRandom } from "../world/seeded-random.ts";

export type Edge = `${number}>${number}`;
export type Graph = ReadonlySet<Edge>;

export function edgesOf(nodes: readonly number[]): readonly (readonly [number, number])[] {
  return nodes.flatMap((from) => nodes.flatMap((to) => (from === to ? [] : [[from, to] as const])));
}

function graphOf(nodes: readonly number[], isOpen: (from: number, to: number) => boolean): Graph {
  const open = edgesOf(nodes).filter(([from, to]) => isOpen(from, to));
  return new Set(open.map(([from, to]): Edge => `${from}>${to}`));
}

export function complete(nodes: readonly number[]): Graph {
  return graphOf(nodes, () => true);
}

/** Everyone is linked with the hub, one of the nodes, in both directions, and with nobody else. */
export function star(hub: number, nodes: readonly number[]): Graph {
  return graphOf(nodes, (from, to) => from === hub || to === hub);
}

/** Each is linked with the one before and the one after, in both directions. */
export function chain(nodes: readonly number[]): Graph {
  return graphOf(nodes, (from, to) => Math.abs(nodes.indexOf(from) - nodes.indexOf(to)) === 1);
}

export function without(graph: Graph, isCut: (from: number, to: number) => boolean): Graph {
  return new Set(
    [...graph].filter((edge) => {
      const [from, to] = edge.split(">").map(Number);
      return !isCut(from ?? 0, to ?? 0);
    }),
  );
}

/** Each edge by itself stands with the given chance. */
export function anyGraph(nodes: readonly number[], chance: number, random: SeededRandom): Graph {
  return graphOf(nodes, () => random.chance(chance));
}

/** Those that reach, and are reached by, a quorum in one hop, themselves included. */
export function ableToLead(
  graph: Graph,
  nodes: readonly number[],
  quorum: number,
): readonly number[] {
  return nodes.filter((node) => {
    const peers = nodes.filter(
      (peer) => graph.has(`${node}>${peer}`) && graph.has(`${peer}>${node}`),
    );
    return peers.length + 1 >= quorum;
  });
}
