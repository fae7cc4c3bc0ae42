/**
 * Everything that can happen next, as one number each, so that millions of parents fit in memory.
 */
const NODE_ACTION_KINDS = [
  /** With a ballot of the round that `detail` names. */
  "campaign",
  "propose",
  /** The next chosen slot from the node of index `detail`. */
  "learn",
  "restart",
  /** Whatever it waits for has not come in time. */
  "timeout",
  /** The leader that it hears is heard no more. */
  "silence",
  /** Asks the next peer for what it lacks. */
  "retry",
  /** Its own snapshot of the slot `detail` is durable. */
  "save",
] as const;

type NodeActionKind = (typeof NODE_ACTION_KINDS)[number];

export interface NodeAction {
  readonly kind: NodeActionKind;
  readonly node: number;
  readonly detail: number;
}

export type Action =
  | { readonly kind: "deliver"; readonly message: number }
  /** Outside the nodes: see `Application` in scope.ts. */
  | { readonly kind: "outside"; readonly move: number }
  | NodeAction;

const KINDS: readonly Action["kind"][] = ["deliver", "outside", ...NODE_ACTION_KINDS];
const KIND_SPAN = 16;
const NODE_SPAN = 8;

export function packAction(action: Action): number {
  const kind = KINDS.indexOf(action.kind);
  if (action.kind === "deliver") return action.message * KIND_SPAN + kind;
  if (action.kind === "outside") return action.move * KIND_SPAN + kind;
  return (action.detail * NODE_SPAN + action.node) * KIND_SPAN + kind;
}

export function unpackAction(packed: number): Action {
  const kind = KINDS[packed % KIND_SPAN];
  const rest = Math.floor(packed / KIND_SPAN);
  if (kind === undefined) throw new Error(`${packed} is no action`);
  if (kind === "deliver") return { kind, message: rest };
  if (kind === "outside") return { kind, move: rest };
  return { kind, node: rest % NODE_SPAN, detail: Math.floor(rest / NODE_SPAN) };
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
