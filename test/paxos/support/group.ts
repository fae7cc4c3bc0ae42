/**
 * A small group on a wire that a test holds in its hand: messages wait until the test delivers or drops them; what a node
 * says to itself arrives at once. Everything a step wants persisted is durable at once.
 */
import type { Ballot, NodeId, Slot } from "../../../shared/model/ids.ts";
import { nodeId } from "../../../shared/model/ids.ts";
import type { PaxosMessage, Value } from "../../../coordinator/paxos/message.ts";
import type { DurableRecord } from "../../../coordinator/paxos/record.ts";
import { majority, recover } from "../../../coordinator/paxos/recover.ts";
import type {
  PaxosConfig,
  PaxosInput,
  PaxosState,
  SnapshotSource,
} from "../../../coordinator/paxos/state.ts";
import { standsFor } from "../../../coordinator/log/truncation.ts";
import { step } from "../../../coordinator/paxos/step.ts";

export interface Sent {
  readonly from: number;
  readonly to: number;
  readonly message: PaxosMessage;
}
export type Kind = PaxosMessage["kind"];
export type Matching = (sent: Sent) => boolean;

interface Member {
  state: PaxosState;
  readonly records: DurableRecord[];
  /** `snapshot n` stands for all that the snapshot of slot n says. */
  readonly applied: string[];
  fetched: SnapshotSource | undefined;
}

export const value = (text: string): Value => new TextEncoder().encode(text);
export const text = (of: Value): string => new TextDecoder().decode(of) || "no-op";

export function configOf(
  self: number,
  size: number,
  overrides: Partial<PaxosConfig> = {},
): PaxosConfig {
  return {
    self: nodeId(self),
    members: Array.from({ length: size }, (_, index) => nodeId(index + 1)),
    phase1Quorum: majority(size),
    phase2Quorum: majority(size),
    heartbeatIntervalMs: 10,
    electionTimeoutMs: 100,
    windowSlots: 4,
    acceptAheadSlots: 100,
    pageSlots: 100,
    pageBytes: 100_000,
    trailingSlots: 2,
    trailingBytes: 100_000,
    ...overrides,
  };
}

export const ofKind =
  (...kinds: readonly Kind[]): Matching =>
  ({ message }) =>
    kinds.includes(message.kind);
export const to =
  (...nodes: readonly number[]): Matching =>
  (sent) =>
    nodes.includes(sent.to);
export const between =
  (...nodes: readonly number[]): Matching =>
  (sent) =>
    nodes.includes(sent.from) && nodes.includes(sent.to);

export class Group {
  wire: Sent[] = [];
  nowMs = 1;
  readonly #members: Member[];
  readonly #overrides: Partial<PaxosConfig>;

  constructor(size: number, overrides: Partial<PaxosConfig> = {}) {
    this.#overrides = overrides;
    this.#members = Array.from({ length: size }, (_, index) => ({
      state: recover(configOf(index + 1, size, overrides), []).state,
      records: [],
      applied: [],
      fetched: undefined,
    }));
  }

  #member(node: number): Member {
    const member = this.#members[node - 1];
    if (member === undefined) throw new Error(`there is no node ${node}`);
    return member;
  }

  state(node: number): PaxosState {
    return this.#member(node).state;
  }

  role(node: number): PaxosState["role"]["kind"] {
    return this.state(node).role.kind;
  }

  promised(node: number): Ballot {
    return this.state(node).promised;
  }

  records(node: number): readonly DurableRecord[] {
    return this.#member(node).records;
  }

  /** What was applied since the last start, in order. */
  applied(node: number): readonly string[] {
    return this.#member(node).applied;
  }

  /** Whose snapshot the node wanted last; told once. */
  fetched(node: number): SnapshotSource | undefined {
    const member = this.#member(node);
    const { fetched } = member;
    member.fetched = undefined;
    return fetched;
  }

  /** The node has saved a snapshot of all that it has applied. */
  snapshot(node: number): void {
    const { chosenUpTo } = this.state(node);
    this.input(node, { kind: "snapshotSaved", slot: chosenUpTo, origin: "own" });
  }

  /** The node has saved a peer's snapshot. */
  install(node: number, slot: number): void {
    this.input(node, { kind: "snapshotSaved", slot: slot as Slot, origin: "peer" });
  }

  /** What a node holds in a slot, as "accepted b: v" or "chosen: v". */
  entry(node: number, slot: number): string | undefined {
    const entry = this.state(node).log.get(slot as Slot);
    if (entry === undefined) return undefined;
    return entry.kind === "chosen"
      ? `chosen: ${text(entry.value)}`
      : `accepted ${entry.ballot}: ${text(entry.value)}`;
  }

  input(node: number, first: PaxosInput): void {
    const member = this.#member(node);
    const inputs = [first];
    for (let input = inputs.shift(); input !== undefined; input = inputs.shift()) {
      const { state, output } = step(member.state, input);
      member.state = state;
      member.records.push(...output.records);
      member.fetched = output.fetch ?? member.fetched;
      if (output.restore !== undefined) {
        member.applied.splice(0, Infinity, `snapshot ${output.restore}`);
      }
      member.applied.push(...output.apply.map((chosen) => text(chosen.value)));
      for (const { to: target, message } of [...output.release, ...output.send]) {
        if (target === node) inputs.push({ kind: "message", from: target, message });
        else this.wire.push({ from: node, to: target, message });
      }
    }
  }

  receive(node: number, from: number, message: PaxosMessage): void {
    this.input(node, { kind: "message", from: from as NodeId, message });
  }

  tick(node: number, { jitter = 0, logStalledMs = 0 } = {}): void {
    this.input(node, { kind: "tick", nowMs: this.nowMs, jitter, logStalledMs });
  }

  /** Time passes for all, in steps of a heartbeat; nothing on the wire moves. */
  pass(ms: number, nodes: readonly number[] = this.#members.map((_, index) => index + 1)): void {
    for (const endMs = this.nowMs + ms; this.nowMs < endMs;) {
      this.nowMs = Math.min(endMs, this.nowMs + 10);
      for (const node of nodes) this.tick(node);
    }
  }

  /** Time passes for all and what the network lets through arrives at once; the rest is lost. */
  run(ms: number, network: Matching = () => true): void {
    for (const endMs = this.nowMs + ms; this.nowMs < endMs;) {
      this.nowMs += 10;
      this.#members.forEach((_, index) => {
        this.tick(index + 1, { jitter: (index * 389) % 1000 });
      });
      this.deliver(network);
      this.drop();
    }
  }

  /** The only node that leads; throws unless there is exactly one. */
  leader(): number {
    const leaders = this.#members.flatMap(({ state }, index) =>
      state.role.kind === "leader" ? [index + 1] : [],
    );
    const [leader] = leaders;
    if (leader === undefined || leaders.length > 1) throw new Error(`leaders: ${leaders.join()}`);
    return leader;
  }

  propose(node: number, ...values: readonly string[]): void {
    for (const each of values) this.input(node, { kind: "propose", value: value(each) });
  }

  /** As if nobody had heard anything for an election timeout. */
  silence(): void {
    for (const member of this.#members) {
      const { role, config } = member.state;
      const heardAtMs = new Map(config.members.map((node) => [node, -config.electionTimeoutMs]));
      const silent = role.kind === "leader" ? { ...role, heardAtMs } : role;
      member.state = { ...member.state, heardLeader: undefined, role: silent };
    }
  }

  /** After a silence, so that nobody stays with another leader. */
  campaign(node: number): void {
    this.silence();
    this.input(node, { kind: "campaign" });
  }

  /** Delivers matching messages, and those that come of it, until none is left; the others stay on the wire. */
  deliver(matching: Matching = () => true): void {
    for (;;) {
      const index = this.wire.findIndex(matching);
      if (index < 0) return;
      const [sent] = this.wire.splice(index, 1);
      if (sent !== undefined) this.receive(sent.to, sent.from, sent.message);
    }
  }

  drop(matching: Matching = () => true): readonly Sent[] {
    const dropped = this.wire.filter(matching);
    this.wire = this.wire.filter((sent) => !matching(sent));
    return dropped;
  }

  /** The node leads under a new ballot, with everyone's promise. */
  elect(node: number): void {
    this.campaign(node);
    this.deliver();
    if (this.role(node) !== "leader") throw new Error(`node ${node} does not lead`);
  }

  /** The store removes what the newest snapshot record of the node stands for. */
  truncateStore(node: number): void {
    const { records } = this.#member(node);
    const last = records.findLastIndex(({ kind }) => kind === "snapshot");
    const by = records[last];
    if (by?.kind !== "snapshot") throw new Error(`node ${node} has no snapshot`);
    const left = records.filter((record, index) => index >= last || !standsFor(by, record));
    records.splice(0, Infinity, ...left);
  }

  /** Comes back with the first `kept` of its records; default all. */
  restart(node: number, kept?: number): void {
    const member = this.#member(node);
    member.records.length = kept ?? member.records.length;
    const config = configOf(node, this.#members.length, this.#overrides);
    const { state, apply } = recover(config, member.records);
    member.state = state;
    member.applied.length = 0;
    if (state.snapshotSlot > 0) member.applied.push(`snapshot ${state.snapshotSlot}`);
    member.applied.push(...apply.map((chosen) => text(chosen.value)));
  }
}
