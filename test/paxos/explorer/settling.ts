/**
 * One input to one node, and all that comes of it at once: what it says to itself, what it writes, what it applies.
 */
import { roundOf, ZERO_BALLOT } from "../../../shared/model/ids.ts";
import type { DurableRecord } from "../../../coordinator/paxos/record.ts";
import { recover } from "../../../coordinator/paxos/recover.ts";
import type { PaxosInput, PaxosOutput, PaxosState } from "../../../coordinator/paxos/state.ts";
import { stateText } from "./canonical.ts";
import { breach } from "./local-rules.ts";
import type { Desk, Local } from "./local.ts";
import { explored, type ExploredMessage, type Sent } from "./messages.ts";
import type { Node, Reached } from "./node.ts";
import { withoutWhatMayGo } from "./removal.ts";
import type { Scope } from "./scope.ts";

export function tick(nowMs: number): PaxosInput {
  return { kind: "tick", nowMs, jitter: 0, logStalledMs: 0 };
}

export class Settling {
  readonly #desk: Desk;
  readonly #scope: Scope;
  /** What the snapshot holds that comes in. */
  readonly #content: readonly number[] | undefined;
  readonly #sent = new Set<number>();
  readonly #records: DurableRecord[] = [];
  readonly #inputs: PaxosInput[] = [];
  #durable: readonly DurableRecord[] | undefined;
  #applied: readonly number[];
  #saved: readonly number[];
  #broken: string | undefined;

  constructor(desk: Desk, scope: Scope, before: Node, content: readonly number[] | undefined) {
    this.#desk = desk;
    this.#scope = scope;
    this.#content = content;
    this.#durable = before.durable;
    this.#applied = before.applied;
    this.#saved = before.saved;
  }

  settle(from: PaxosState, first: PaxosInput): Local {
    let state = from;
    this.#inputs.push(first);
    for (let input = this.#inputs.shift(); input !== undefined; input = this.#inputs.shift()) {
      const { state: after, output } = this.#desk.stepOnce(state, input);
      const what = breach(state, after, input, output);
      if (what !== undefined) return { kind: "broken", what };
      this.#perform(after, output);
      if (this.#broken !== undefined) return { kind: "broken", what: this.#broken };
      if (this.#isBeyond(after)) return { kind: "beyond" };
      state = after;
      const isQuiet = this.#inputs.length === 0 && input.kind !== "tick";
      if (isQuiet && state.role.kind === "leader") this.#inputs.push(tick(state.nowMs));
    }
    return this.#result(from, state);
  }

  #perform(after: PaxosState, output: PaxosOutput): void {
    const { nodes } = this.#desk;
    this.#records.push(...output.records);
    this.#persist(after, output.records);
    if (output.restore !== undefined) this.#applied = this.#content ?? [];
    this.#applied = [...this.#applied, ...output.apply.map(({ value }) => nodes.valueId(value))];
    const snapshot = output.records.findLast(({ kind }) => kind === "snapshot");
    if (snapshot?.kind === "snapshot") this.#saved = this.#applied.slice(0, snapshot.slot);
    for (const { to, message } of [...output.release, ...output.send]) {
      const isOwn = to === after.config.self && message.kind !== "phase1b";
      if (isOwn) this.#inputs.push({ kind: "message", from: to, message });
      else for (const kept of explored(message, this.#scope)) this.#send(after, to, kept);
    }
    const { fetch } = output;
    if (fetch === undefined) return;
    const arrives = { kind: "snapshotArrives", slot: fetch.slot } as const;
    this.#put({
      from: fetch.peer,
      to: after.config.self,
      message: arrives,
      content: this.#content,
    });
  }

  #persist({ config }: PaxosState, records: readonly DurableRecord[]): void {
    if (this.#durable === undefined || records.length === 0) return;
    const all = [...this.#durable, ...records];
    this.#durable = withoutWhatMayGo(all);
    if (this.#durable.length === all.length) return;
    const [whole, rest] = [all, this.#durable].map((kept) => {
      const { state, apply } = recover(config, kept);
      return `${stateText(state, this.#scope)} ${apply.length}`;
    });
    if (whole !== rest)
      this.#broken = "breaks S3: a restart needs what may go from below the snapshot";
  }

  #isBeyond({ role }: PaxosState): boolean {
    return role.kind === "candidate" && roundOf(role.ballot) > this.#scope.ballots;
  }

  #send({ config }: PaxosState, to: Sent["to"], message: ExploredMessage): void {
    const content = message.kind === "snapshotOffer" ? this.#saved : undefined;
    this.#put({ from: config.self, to, message, content });
  }

  #put(sent: Sent): void {
    this.#sent.add(this.#desk.messageId(sent));
  }

  #result(from: PaxosState, state: PaxosState): Local {
    const { nodes } = this.#desk;
    const campaigned = state.role.kind === "candidate" ? state.role.ballot : ZERO_BALLOT;
    const isNew = from.role.kind !== "candidate" || from.role.ballot !== campaigned;
    const reached: Reached = {
      state,
      durable: this.#durable,
      applied: this.#applied,
      saved: this.#saved,
    };
    return {
      kind: "stepped",
      node: nodes.intern(reached),
      sent: [...this.#sent].sort((left, right) => left - right),
      votes: this.#desk.votesIn(this.#records),
      campaigned: isNew ? nodes.rankOf(campaigned) : 0,
    };
  }
}
