/**
 * One global state and its compact text, by which states are told apart.
 */
export interface World {
  /** Ids of the nodes' local states. */
  readonly nodes: readonly number[];
  /** By round: the node that campaigned, 0 while none has. */
  readonly owners: readonly number[];
  readonly crashesLeft: number;
  /** What the observer ever saw, as bits. */
  readonly seen: number;
  /** Id of the table of votes. */
  readonly votes: number;
  /** Ids of the living messages, ascending. */
  readonly messages: readonly number[];
}

export interface WorldShape {
  readonly nodes: number;
  readonly rounds: number;
}

/** Taken once: looking up a global is slow where tests run. */
const { fromCharCode } = String;

export function worldText(world: World): string {
  return fromCharCode(
    ...world.nodes,
    ...world.owners,
    world.crashesLeft,
    world.seen,
    world.votes,
    ...world.messages,
  );
}

export function worldFrom(text: string, shape: WorldShape): World {
  let at = 0;
  const take = (count: number): number[] => {
    const taken: number[] = [];
    for (const end = at + count; at < end; at += 1) taken.push(text.charCodeAt(at));
    return taken;
  };
  return {
    nodes: take(shape.nodes),
    owners: take(shape.rounds),
    crashesLeft: text.charCodeAt(at++),
    seen: text.charCodeAt(at++),
    votes: text.charCodeAt(at++),
    messages: take(text.length - at),
  };
}
