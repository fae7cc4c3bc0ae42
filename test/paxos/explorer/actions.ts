/**
 * Everything that can happen next, as one number each, so that millions of parents fit in memory.
 */
export type Action =
  | { readonly kind: "deliver"; readonly message: number }
  | { readonly kind: "campaign"; readonly node: number; readonly round: number }
  | { readonly kind: "propose"; readonly node: number }
  | { readonly kind: "learn"; readonly node: number; readonly peer: number }
  | { readonly kind: "restart"; readonly node: number };

export const ACTION_KINDS = ["deliver", "campaign", "propose", "learn", "restart"] as const;
const KIND_SPAN = 8;
const NODE_SPAN = 32;

export function packAction(action: Action): number {
  const kind = ACTION_KINDS.indexOf(action.kind);
  switch (action.kind) {
    case "deliver":
      return action.message * KIND_SPAN + kind;
    case "campaign":
      return (action.node * NODE_SPAN + action.round) * KIND_SPAN + kind;
    case "learn":
      return (action.node * NODE_SPAN + action.peer) * KIND_SPAN + kind;
    case "propose":
    case "restart":
      return action.node * NODE_SPAN * KIND_SPAN + kind;
  }
}

export function unpackAction(packed: number): Action {
  const kind = ACTION_KINDS[packed % KIND_SPAN];
  const rest = Math.floor(packed / KIND_SPAN);
  const node = Math.floor(rest / NODE_SPAN);
  if (kind === undefined) throw new Error(`${packed} is no action`);
  switch (kind) {
    case "campaign":
      return { kind, node, round: rest % NODE_SPAN };
    case "learn":
      return { kind, node, peer: rest % NODE_SPAN };
    case "propose":
    case "restart":
      return { kind, node };
    case "deliver":
      return { kind, message: rest };
  }
}

/**
 * By round, which owners are worth exploring. Nodes differ only in the ballots they own, so they may be renamed: the
 * owner of the first ballot is node 1, the next new owner node 2, and so on.
 */
export function ownerPatterns(nodes: number, rounds: number): readonly (readonly number[])[] {
  let patterns: number[][] = [[]];
  for (let round = 0; round < rounds; round += 1) {
    patterns = patterns.flatMap((pattern) => {
      const highest = Math.min(nodes, Math.max(0, ...pattern) + 1);
      return Array.from({ length: highest }, (_, index) => [...pattern, index + 1]);
    });
  }
  return patterns;
}

/** Whether the campaigns so far can still become one of the patterns. */
export function fitsPattern(
  owners: readonly number[],
  patterns: readonly (readonly number[])[],
): boolean {
  return patterns.some((pattern) =>
    owners.every((owner, index) => owner === 0 || owner === pattern[index]),
  );
}
