/** A short circle of each name in each strongly connected component: the shortest, where looking for it is cheap. */
import type { CycleName, Step } from "./anomaly.ts";
import { components, outgoing, type Outgoing } from "./components.ts";
import type { Edge, Graph } from "./graph.ts";

export interface Cycle {
  readonly name: CycleName;
  readonly steps: readonly Step[];
}

export interface CycleSearch {
  readonly cycles: readonly Cycle[];
  /** False when the budget ran out: then circles with a readWrite may have been missed. */
  readonly isComplete: boolean;
}

/** Edges followed; some seconds of work. Nothing is spent on what lies in no circle. */
const MAX_EDGES_FOLLOWED = 20_000_000;

/** A component whose circle is known is looked at so often again for a shorter one. */
const MAX_WALKS_TO_SHORTEN = 100;

interface Search {
  readonly graph: Graph;
  left: number;
  /** By node: the edge that a walk first came by, if `walked` names that walk. */
  readonly cameBy: Int32Array;
  readonly walked: Int32Array;
  walks: number;
}

type Kind = "writeWrite" | "writeRead" | "readWrite";
const FORWARD: ReadonlySet<string> = new Set(["writeWrite", "writeRead", "realTime"]);
const WRITES: ReadonlySet<string> = new Set(["writeWrite", "realTime"]);
const ALL: ReadonlySet<string> = new Set([...FORWARD, "readWrite"]);

/** Each circle is closed by an edge of `closing`; the way back runs over `along`. */
const CLASSES: readonly { name: CycleName; closing: Kind; along: ReadonlySet<string> }[] = [
  { name: "G0", closing: "writeWrite", along: WRITES },
  { name: "G1c", closing: "writeRead", along: FORWARD },
  { name: "G-single", closing: "readWrite", along: FORWARD },
  { name: "G2", closing: "readWrite", along: ALL },
];

export function findCycles(graph: Graph): CycleSearch {
  const search: Search = {
    ...{ graph, left: MAX_EDGES_FOLLOWED, walks: 0 },
    ...{ cameBy: new Int32Array(graph.nodes), walked: new Int32Array(graph.nodes) },
  };
  const cycles = CLASSES.flatMap((wanted) => {
    const reduced = graph.edges.filter(
      ({ why }) => why === undefined || why.kind === wanted.closing || wanted.along.has(why.kind),
    );
    return findOfClass(search, reduced, wanted);
  });
  return { cycles, isComplete: search.left > 0 };
}

function findOfClass(
  search: Search,
  edges: readonly Edge[],
  { name, closing, along }: (typeof CLASSES)[number],
): readonly Cycle[] {
  const { nodes, transactions } = search.graph;
  const component = components(nodes, edges, outgoing(nodes, edges));
  const inside = edges.filter(({ from, to }) => component[from] === component[to]);
  const way = inside.filter(({ why }) => why === undefined || along.has(why.kind));
  const out = outgoing(nodes, way);
  const shortest = new Map<number, readonly Step[]>();
  const walksSince = new Map<number, number>();
  for (const edge of inside) {
    if (edge.why?.kind !== closing) continue;
    const home = component[edge.from]!;
    const known = shortest.get(home);
    if (known !== undefined) {
      const walks = (walksSince.get(home) ?? 0) + 1;
      walksSince.set(home, walks);
      if (known.length === 2 || walks > MAX_WALKS_TO_SHORTEN) continue;
    }
    if (search.left <= 0) continue;
    const back = wayBack(search, way, out, edge);
    if (back === undefined) continue;
    const steps = stepsOf([edge, ...back], transactions);
    const overtaken = steps.filter(({ why }) => why.kind === "readWrite").length;
    if (name === "G2" && overtaken < 2) continue;
    if (known === undefined || steps.length < known.length) shortest.set(home, steps);
  }
  return [...shortest.values()].map((steps) => ({ name, steps }));
}

/** From the end of an edge to its beginning, breadth first. */
function wayBack(
  search: Search,
  edges: readonly Edge[],
  { starts, edges: places }: Outgoing,
  { from: goal, to: start }: Edge,
): readonly Edge[] | undefined {
  const { cameBy, walked } = search;
  const walk = (search.walks += 1);
  walked[start] = walk;
  const queue = [start];
  for (const node of queue) {
    if (node === goal) break;
    for (let at = starts[node]!; at < starts[node + 1]!; at += 1) {
      search.left -= 1;
      const place = places[at]!;
      const { to } = edges[place]!;
      if (walked[to] === walk) continue;
      walked[to] = walk;
      cameBy[to] = place;
      queue.push(to);
    }
    if (search.left <= 0) return undefined;
  }
  if (walked[goal] !== walk) return undefined;
  const back: Edge[] = [];
  for (let node = goal; node !== start;) {
    const edge = edges[cameBy[node]!]!;
    back.push(edge);
    node = edge.from;
  }
  return back.reverse();
}

/** Begins at a transaction, and takes the places in between out: a step has the reason that led into them. */
function stepsOf(circle: readonly Edge[], transactions: number): readonly Step[] {
  const begin = circle.findIndex(({ from }) => from < transactions);
  const steps: Step[] = [];
  for (const { from, to, why } of [...circle.slice(begin), ...circle.slice(0, begin)]) {
    const last = steps.at(-1);
    if (why !== undefined) steps.push({ from, to, why });
    else if (last !== undefined) steps[steps.length - 1] = { ...last, to };
  }
  return steps;
}
