/** Strongly connected components by Tarjan, without recursion: a history's graph is as deep as the history is long. */

/** Outgoing edges of node `n`: `edges[starts[n]] … edges[starts[n + 1] - 1]`, as places in the list of edges. */
export interface Outgoing {
  readonly starts: Int32Array;
  readonly edges: Int32Array;
}

export function outgoing(nodes: number, edges: readonly { readonly from: number }[]): Outgoing {
  const starts = new Int32Array(nodes + 1);
  for (const { from } of edges) starts[from + 1]! += 1;
  for (let node = 0; node < nodes; node += 1) starts[node + 1]! += starts[node]!;
  const next = starts.slice();
  const places = new Int32Array(edges.length);
  edges.forEach(({ from }, place) => {
    places[next[from]!] = place;
    next[from]! += 1;
  });
  return { starts, edges: places };
}

/** The component of each node. An edge never leads from a component to one of a higher number. */
export function components(
  nodes: number,
  edges: readonly { readonly from: number; readonly to: number }[],
  { starts, edges: places }: Outgoing,
): Int32Array {
  const component = new Int32Array(nodes).fill(-1);
  const found = new Int32Array(nodes).fill(-1);
  const lowest = new Int32Array(nodes);
  const next = starts.slice(0, nodes);
  const open: number[] = [];
  let count = 0;
  let founds = 0;
  for (let root = 0; root < nodes; root += 1) {
    if (found[root] !== -1) continue;
    const path = [root];
    while (path.length > 0) {
      const node = path.at(-1)!;
      if (found[node] === -1) {
        found[node] = lowest[node] = founds;
        founds += 1;
        open.push(node);
      }
      if (next[node]! < starts[node + 1]!) {
        const { to } = edges[places[next[node]!]!]!;
        next[node]! += 1;
        if (found[to] === -1) path.push(to);
        else if (component[to] === -1) lowest[node] = Math.min(lowest[node]!, found[to]!);
        continue;
      }
      path.pop();
      const parent = path.at(-1);
      if (parent !== undefined) lowest[parent] = Math.min(lowest[parent]!, lowest[node]!);
      if (lowest[node] === found[node]) {
        for (let member = -1; member !== node;) {
          member = open.pop()!;
          component[member] = count;
        }
        count += 1;
      }
    }
  }
  return component;
}
