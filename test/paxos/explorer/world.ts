/**
 * One global state and its compact text, by which states are told apart.
 */
import type { Votes } from "./ghost.ts";

export interface World {
  /** Ids of the nodes' local states. */
  readonly nodes: readonly number[];
  /** By round: the node that campaigned, 0 while none has. */
  readonly owners: readonly number[];
  readonly crashesLeft: number;
  /** What the observer ever saw, as bits. */
  readonly seen: number;
  readonly votes: Votes;
  /** Ids of the living messages, ascending. */
  readonly messages: readonly number[];
}

export interface WorldShape {
  readonly nodes: number;
  readonly rounds: number;
  readonly votes: number;
}

export function worldText(world: World): string {
  return String.fromCharCode(
    ...world.nodes,
    ...world.owners,
    world.crashesLeft,
    world.seen,
    ...world.votes,
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
    votes: take(shape.votes),
    messages: take(text.length - at),
  };
}
