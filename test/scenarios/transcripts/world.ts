/**
 * A group of production cores on a wire and on disks that a transcript commands: messages wait until they are delivered or
 * dropped, a disk that hangs keeps its writes, and a crash loses what was not written. Every effect becomes a line, in the
 * order in which the replica brings it about (replication/replica.ts); what a node says to itself arrives at once.
 */
import { InvariantViolation } from "../../../shared/model/assert.ts";
import type { NodeId } from "../../../shared/model/ids.ts";
import type { Envelope } from "../../../coordinator/paxos/message.ts";
import type { DurableRecord } from "../../../coordinator/paxos/record.ts";
import { recover } from "../../../coordinator/paxos/recover.ts";
import type {
  PaxosConfig,
  PaxosInput,
  PaxosOutput,
  PaxosState,
  SnapshotSource,
} from "../../../coordinator/paxos/state.ts";
import { step } from "../../../coordinator/paxos/step.ts";
import { configOf, text, type Matching, type Sent } from "../../paxos/support/group.ts";
import { chosenText, messageText, recordText, roleText, stateText } from "./wording.ts";

/** A write that hangs, and what may leave only behind it. */
interface Write {
  readonly records: readonly DurableRecord[];
  readonly release: readonly Envelope[];
  readonly sinceMs: number;
}

interface Member {
  readonly node: number;
  readonly durable: DurableRecord[];
  /** Undefined while the process is down. */
  state: PaxosState | undefined;
  /** Not on the disk yet, oldest first; undefined while the disk is well. */
  hanging: Write[] | undefined;
  wanted: SnapshotSource | undefined;
}

const TICK_MS = 10;

export class TranscriptWorld {
  wire: Sent[] = [];
  readonly nodes: readonly number[];
  readonly #members: readonly Member[];
  readonly #overrides: Partial<PaxosConfig>;
  readonly #cut = new Set<string>();
  /** Agreement, whoever says what: C1. */
  readonly #chosen = new Map<number, string>();
  #lines: string[] = [];
  #nowMs = 0;

  constructor(size: number, overrides: Partial<PaxosConfig>) {
    this.#overrides = overrides;
    this.nodes = Array.from({ length: size }, (_, index) => index + 1);
    this.#members = this.nodes.map((node) => ({
      ...{ node, durable: [], state: undefined, hanging: undefined, wanted: undefined },
    }));
    for (const node of this.nodes) this.restart(node);
    this.takeLines();
  }

  /** What happened since the last call. */
  takeLines(): readonly string[] {
    return this.#lines.splice(0);
  }

  #member(node: number): Member {
    const member = this.#members[node - 1];
    if (member === undefined) throw new Error(`there is no node ${node}`);
    return member;
  }

  #say(node: number, what: string): void {
    this.#lines.push(`${node} ${what}`);
  }

  input(node: number, first: PaxosInput): void {
    const member = this.#member(node);
    const inputs = [first];
    for (let input = inputs.shift(); input !== undefined; input = inputs.shift()) {
      const before = member.state;
      if (before === undefined) return;
      const stepped = this.#step(member, before, input);
      if (stepped === undefined) return;
      for (const { to, message } of stepped) {
        if (to === node) inputs.push({ kind: "message", from: node as NodeId, message });
      }
    }
  }

  /** Messages that leave now; undefined when an invariant stopped the node. */
  #step(member: Member, before: PaxosState, input: PaxosInput): readonly Envelope[] | undefined {
    try {
      const { state, output } = step(before, input);
      member.state = state;
      if (roleText(state.role) !== roleText(before.role))
        this.#say(member.node, roleText(state.role));
      const released = this.#write(member, output.records, output.release);
      const leaving = [...output.send, ...released];
      this.#send(member.node, leaving);
      this.#change(member, output);
      return leaving;
    } catch (error) {
      if (!(error instanceof InvariantViolation)) throw error;
      member.state = undefined;
      this.#say(member.node, `stops: ${error.message}`);
      return undefined;
    }
  }

  #change(member: Member, { restore, apply, fetch }: PaxosOutput): void {
    if (restore !== undefined) this.#say(member.node, `restores the snapshot of slot ${restore}`);
    for (const chosen of apply) this.#apply(member.node, chosen);
    if (fetch === undefined) return;
    member.wanted = fetch;
    this.#say(member.node, `wants ${fetch.peer}'s snapshot of slot ${fetch.slot}`);
  }

  /** What may leave because everything before it is durable. */
  #write(
    member: Member,
    records: readonly DurableRecord[],
    release: readonly Envelope[],
  ): readonly Envelope[] {
    const what = records.map(recordText).join(", ");
    const hangs = member.hanging !== undefined && records.length + member.hanging.length > 0;
    if (member.hanging !== undefined && hangs) {
      if (records.length + release.length === 0) return [];
      member.hanging.push({ records, release, sinceMs: this.#nowMs });
      this.#say(member.node, `waits for its disk to write: ${what === "" ? "nothing new" : what}`);
      return [];
    }
    if (records.length > 0) this.#say(member.node, `writes: ${what}`);
    member.durable.push(...records);
    return release;
  }

  #send(from: number, envelopes: readonly Envelope[]): void {
    const targets = new Map<string, number[]>();
    for (const { to, message } of envelopes) {
      const said = messageText(message);
      targets.set(said, [...(targets.get(said) ?? []), to]);
      if (to !== from && !this.#cut.has(`${from}->${to}`)) this.wire.push({ from, to, message });
    }
    for (const [said, to] of targets) this.#say(from, `-> ${to.join(" ")}: ${said}`);
  }

  #apply(node: number, chosen: Parameters<typeof chosenText>[0]): void {
    this.#say(node, `applies ${chosenText(chosen)}`);
    const value = text(chosen.value);
    const known = this.#chosen.get(chosen.slot) ?? value;
    this.#chosen.set(chosen.slot, value);
    if (known !== value) throw new Error(`C1: slot ${chosen.slot} is ${known} and ${value}`);
  }

  /** Messages that are on the wire now, oldest first; what comes of them stays there. Answers how many there were. */
  deliver(matching: Matching): number {
    const delivered = this.drop(matching);
    for (const { from, to, message } of delivered) {
      if (this.#member(to).state === undefined) {
        this.#say(to, `is down: lost from ${from}: ${messageText(message)}`);
        continue;
      }
      this.#say(to, `<- ${from}: ${messageText(message)}`);
      this.input(to, { kind: "message", from: from as NodeId, message });
    }
    return delivered.length;
  }

  drop(matching: Matching): readonly Sent[] {
    const dropped = this.wire.filter(matching);
    this.wire = this.wire.filter((sent) => !matching(sent));
    return dropped;
  }

  /** Answers how many messages are on the wire twice now. */
  repeat(matching: Matching): number {
    const repeated = this.wire.filter(matching);
    this.wire.push(...repeated);
    return repeated.length;
  }

  /** What is sent over this link from now on is lost. */
  cut(from: number, to: number): void {
    this.#cut.add(`${from}->${to}`);
  }

  heal(): void {
    this.#cut.clear();
  }

  /** Time passes for all; nothing on the wire moves, unless `arrives`: then all does, after every tick. */
  pass(forMs: number, arrives: boolean): void {
    for (const endMs = this.#nowMs + forMs; this.#nowMs < endMs;) {
      this.#nowMs += TICK_MS;
      for (const node of this.nodes) this.#tick(node);
      while (arrives && this.deliver(() => true) > 0);
    }
  }

  #tick(node: number): void {
    const { state, hanging } = this.#member(node);
    if (state === undefined) return;
    const [oldest] = hanging ?? [];
    const logStalledMs = oldest === undefined ? 0 : this.#nowMs - oldest.sinceMs;
    // Nodes of lower ids lose patience sooner, so that a reader knows who moves first.
    const jitter = ((node - 1) * 300) % 1000;
    this.input(node, { kind: "tick", nowMs: this.#nowMs, jitter, logStalledMs });
  }

  hang(node: number): void {
    this.#member(node).hanging ??= [];
  }

  /** The disk is well again and has written everything. */
  unhang(node: number): void {
    const member = this.#member(node);
    const writes = member.hanging ?? [];
    member.hanging = undefined;
    for (const { records, release } of writes) {
      const leaving = this.#write(member, records, release);
      this.#send(node, leaving);
      for (const { to, message } of leaving) {
        if (to === node) this.input(node, { kind: "message", from: node as NodeId, message });
      }
    }
  }

  /** The process ends; what its disk had not written is lost, and the others see their connections break. */
  crash(node: number): void {
    const member = this.#member(node);
    member.state = undefined;
    for (const { records } of member.hanging ?? []) {
      this.#say(node, `loses: ${records.map(recordText).join(", ")}`);
    }
    member.hanging = undefined;
    for (const other of this.nodes) {
      if (other !== node) this.input(other, { kind: "peerLost", node: node as NodeId });
    }
  }

  restart(node: number): void {
    const member = this.#member(node);
    if (member.state !== undefined) throw new Error(`node ${node} runs`);
    const config = configOf(node, this.nodes.length, this.#overrides);
    const { state, apply } = recover(config, member.durable);
    member.state = state;
    this.show(node);
    for (const chosen of apply) this.#apply(node, chosen);
    this.#tick(node);
  }

  /** A snapshot of all that the node has applied is on its disk. */
  snapshot(node: number): void {
    const slot = this.#member(node).state?.chosenUpTo;
    if (slot !== undefined) this.input(node, { kind: "snapshotSaved", slot, origin: "own" });
  }

  /** The snapshot that the node wanted last is on its disk. */
  install(node: number): void {
    const { wanted } = this.#member(node);
    if (wanted === undefined) throw new Error(`node ${node} wants no snapshot`);
    this.input(node, { kind: "snapshotSaved", slot: wanted.slot, origin: "peer" });
  }

  show(node: number): void {
    const { state } = this.#member(node);
    this.#say(node, state === undefined ? "is down" : stateText(state));
  }
}
