/**
 * Whether this node still led at some moment after it was asked: proved by a quorum that answered, under this very
 * ballot, something that was sent after the question (a heartbeat, or a proposal). A node that has promised a higher ballot
 * answers neither, and every higher leader has the promises of a quorum; so no higher leader had been elected when the question
 * was asked. No clock is involved.
 */
import type { Ballot, NodeId, Slot } from "../../shared/model/ids.ts";
import type { PaxosMessage } from "../paxos/message.ts";
import type { Leader } from "../paxos/state.ts";

interface Question {
  readonly ballot: Ballot;
  /** The last heartbeat sent before the question. */
  readonly beat: number;
  /** The first slot that had not been proposed. */
  readonly nextSlot: Slot;
  readonly heard: Set<NodeId>;
  readonly resolve: (led: boolean) => void;
}

export class LeadershipProof {
  readonly #others: number;
  #questions: Question[] = [];

  /** `quorum` nodes, this one included, intersect every quorum of promises. */
  constructor(quorum: number) {
    this.#others = quorum - 1;
  }

  /** Resolves false when leadership ends first, which it does when no quorum answers. */
  ask({ ballot, beat, nextSlot }: Leader): Promise<boolean> {
    if (this.#others === 0) return Promise.resolve(true);
    return new Promise((resolve) => {
      this.#questions.push({ ballot, beat, nextSlot, heard: new Set(), resolve });
    });
  }

  heard(from: NodeId, message: PaxosMessage): void {
    if (this.#questions.length === 0) return;
    if (message.kind !== "heartbeatReply" && message.kind !== "phase2b") return;
    const open: Question[] = [];
    for (const question of this.#questions) {
      if (isAnswer(question, message)) question.heard.add(from);
      if (question.heard.size < this.#others) open.push(question);
      else question.resolve(true);
    }
    this.#questions = open;
  }

  ended(): void {
    for (const { resolve } of this.#questions) resolve(false);
    this.#questions = [];
  }
}

function isAnswer(
  { ballot, beat, nextSlot }: Question,
  message: Extract<PaxosMessage, { kind: "heartbeatReply" | "phase2b" }>,
): boolean {
  if (message.ballot !== ballot) return false;
  return message.kind === "phase2b" ? message.slot >= nextSlot : message.beat > beat;
}
