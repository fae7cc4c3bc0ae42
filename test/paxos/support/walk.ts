/**
 * A random walk over the core, with everything that the exhaustive check leaves out: time, probes, elections, windows and
 * pages that fill, disks that lag and hang, crashes that lose what was written but not yet durable, and snapshots.
 *
 * One seed is one walk. The network loses, repeats, delays and reorders; links are cut and healed; nodes crash and come back.
 */
import type { NodeId, Slot } from "../../../shared/model/ids.ts";
import { nodeId } from "../../../shared/model/ids.ts";
import { standsFor } from "../../../coordinator/log/truncation.ts";
import { canPropose } from "../../../coordinator/paxos/leader.ts";
import type { Envelope } from "../../../coordinator/paxos/message.ts";
import type { DurableRecord } from "../../../coordinator/paxos/record.ts";
import { majority, recover } from "../../../coordinator/paxos/recover.ts";
import type { PaxosConfig, PaxosInput, PaxosState } from "../../../coordinator/paxos/state.ts";
import { step } from "../../../coordinator/paxos/step.ts";
import { configOf, text, value } from "./group.ts";
import { WalkGhost } from "./walk-ghost.ts";

/** Beyond, the oldest messages are lost. */
const MAX_ON_THE_WIRE = 150;
const MAX_DOWN_MS = 300;
const CONFIG: Partial<PaxosConfig> = {
  windowSlots: 3,
  acceptAheadSlots: 3,
  pageSlots: 2,
  trailingSlots: 2,
};

const TROUBLES = ["crash", "cutOrHeal", "healAll", "hangDisk", "losePeer", "snapshot"] as const;
type Trouble = (typeof TROUBLES)[number];

interface Append {
  readonly records: readonly DurableRecord[];
  readonly release: readonly Envelope[];
  readonly sinceMs: number;
}

/** A snapshot that is being written, or fetched. */
type Saving = Extract<PaxosInput, { kind: "snapshotSaved" }>;

interface Member {
  readonly node: NodeId;
  state: PaxosState;
  durable: DurableRecord[];
  appends: Append[];
  saving: Saving | undefined;
  life: number;
  downUntilMs: number;
  diskHangsUntilMs: number;
}

interface Sent extends Envelope {
  readonly from: NodeId;
}

export interface WalkOptions {
  readonly nodes: number;
  readonly seed: number;
  readonly steps: number;
  /** What of its durable records a node comes back with; default all. Less is a broken disk. */
  readonly remembers?: (record: DurableRecord) => boolean;
}

export interface WalkResult {
  readonly chosen: number;
  readonly elections: number;
  readonly crashes: number;
  readonly recordsLost: number;
  readonly snapshots: number;
  /** A peer's snapshot took the place of what a node had applied. */
  readonly restores: number;
}

/** Small and good enough: 32 bits of state, period 2^32 (mulberry32). */
function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export class Walk {
  readonly #options: WalkOptions;
  readonly #random: () => number;
  readonly #ghost: WalkGhost;
  readonly #members: readonly Member[];
  readonly #cut = new Set<string>();
  /** What goes wrong, with its chance in a thousand: each seed draws its own. */
  readonly #chances: Readonly<Record<Trouble, number>>;
  readonly #lossPercent: number;
  readonly #repeatPercent: number;
  #wire: Sent[] = [];
  #nowMs = 1;
  #proposals = 0;
  #elections = 0;
  #crashes = 0;
  #recordsLost = 0;
  #snapshots = 0;
  #restores = 0;

  constructor(options: WalkOptions) {
    this.#options = options;
    this.#random = seededRandom(options.seed);
    this.#ghost = new WalkGhost(majority(options.nodes));
    this.#members = Array.from({ length: options.nodes }, (_, index) => ({
      node: nodeId(index + 1),
      state: recover(configOf(index + 1, options.nodes, CONFIG), []).state,
      durable: [],
      appends: [],
      saving: undefined,
      life: 1,
      downUntilMs: 0,
      diskHangsUntilMs: 0,
    }));
    this.#lossPercent = this.#below(20);
    this.#repeatPercent = this.#below(30);
    this.#chances = {
      crash: this.#below(6),
      cutOrHeal: this.#below(8),
      healAll: 1,
      hangDisk: this.#below(3),
      losePeer: this.#below(5),
      snapshot: this.#below(30),
    };
  }

  /** Wanders, then heals everything and demands that the group decides again and agrees on all it decided. */
  run(): WalkResult {
    for (let count = 0; count < this.#options.steps; count += 1) this.#wander();
    this.#heal();
    return {
      chosen: this.#ghost.chosenCount,
      elections: this.#elections,
      crashes: this.#crashes,
      recordsLost: this.#recordsLost,
      snapshots: this.#snapshots,
      restores: this.#restores,
    };
  }

  #below(bound: number): number {
    return Math.floor(this.#random() * bound);
  }

  #anyMember(): Member {
    const member = this.#members[this.#below(this.#members.length)];
    if (member === undefined) throw new Error("a group has members");
    return member;
  }

  #wander(): void {
    let dice = this.#below(1000);
    for (const trouble of TROUBLES) {
      dice -= this.#chances[trouble];
      if (dice < 0) {
        this.#cause(trouble);
        return;
      }
    }
    const rest = this.#below(100);
    if (rest < 56) this.#deliverOne();
    else if (rest < 58) this.#finishSaving(this.#anyMember());
    else if (rest < 84) this.#finishAppend(this.#anyMember());
    else if (rest < 92) this.#passTime(this.#below(5));
    else this.#propose(this.#anyMember());
  }

  #cause(trouble: Trouble): void {
    const member = this.#anyMember();
    switch (trouble) {
      case "crash":
        this.#crash(member);
        return;
      case "cutOrHeal":
        this.#cutOrHealLink(member, this.#anyMember());
        return;
      case "healAll":
        this.#cut.clear();
        return;
      case "hangDisk":
        member.diskHangsUntilMs = this.#nowMs + this.#below(400);
        return;
      case "losePeer":
        this.#step(member, { kind: "peerLost", node: this.#anyMember().node });
        return;
      case "snapshot":
        this.#beginSaving(member);
        return;
    }
  }

  #beginSaving(member: Member): void {
    const { chosenUpTo: slot, snapshotSlot } = member.state;
    if (member.saving === undefined && slot > snapshotSlot) {
      member.saving = { kind: "snapshotSaved", slot, origin: "own" };
    }
  }

  #finishSaving(member: Member): void {
    const { saving } = member;
    if (saving === undefined || !this.#isUp(member)) return;
    member.saving = undefined;
    if (saving.origin === "own") this.#snapshots += 1;
    this.#step(member, saving);
  }

  #isUp({ downUntilMs }: Member): boolean {
    return this.#nowMs >= downUntilMs;
  }

  #passTime(ms: number): void {
    this.#nowMs += ms;
    for (const member of this.#members) {
      const [oldest] = member.appends;
      const logStalledMs = oldest === undefined ? 0 : this.#nowMs - oldest.sinceMs;
      const jitter = this.#below(1000);
      this.#step(member, { kind: "tick", nowMs: this.#nowMs, jitter, logStalledMs });
    }
  }

  #propose(member: Member): void {
    if (!this.#isUp(member) || !canPropose(member.state)) return;
    this.#proposals += 1;
    const submitted = `v${this.#proposals}`;
    this.#ghost.submitted(submitted);
    this.#step(member, { kind: "propose", value: value(submitted) });
  }

  #cutOrHealLink(from: Member, to: Member): void {
    const link = `${from.node}>${to.node}`;
    if (!this.#cut.delete(link)) this.#cut.add(link);
  }

  #step(member: Member, input: PaxosInput): void {
    if (!this.#isUp(member)) return;
    const before = member.state;
    const { state, output } = step(before, input);
    member.state = state;
    if (output.fetch !== undefined) {
      member.saving ??= { kind: "snapshotSaved", slot: output.fetch.slot, origin: "peer" };
    }
    if (output.restore !== undefined) this.#restore(before.chosenUpTo, output.restore);
    output.apply.forEach((chosen, index) => {
      const first = (output.restore ?? before.chosenUpTo) + 1;
      this.#ghost.applied(chosen.slot, text(chosen.value), first + index);
    });
    if (state.role.kind === "leader" && before.role.kind !== "leader") {
      this.#elections += 1;
      this.#ghost.leads(state.role.ballot, `node ${member.node} in life ${member.life}`);
    }
    this.#send(member, output.send);
    if (output.records.length > 0 || output.release.length > 0) {
      const { records, release } = output;
      member.appends.push({ records, release, sinceMs: this.#nowMs });
    }
  }

  #restore(chosenUpTo: Slot, slot: Slot): void {
    this.#restores += 1;
    this.#ghost.restored(slot, chosenUpTo);
  }

  #send(member: Member, envelopes: readonly Envelope[]): void {
    for (const { to, message } of envelopes) {
      this.#ghost.sent(message);
      if (to === member.node) this.#step(member, { kind: "message", from: to, message });
      else this.#wire.push({ from: member.node, to, message });
    }
    if (this.#wire.length > MAX_ON_THE_WIRE) this.#wire = this.#wire.slice(-MAX_ON_THE_WIRE);
  }

  #deliverOne(): void {
    if (this.#wire.length === 0) return;
    const index = this.#below(this.#wire.length);
    const sent = this.#wire[index];
    if (sent === undefined) return;
    const isRepeated = this.#below(100) < this.#repeatPercent;
    if (!isRepeated) this.#wire.splice(index, 1);
    const isLost = this.#below(100) < this.#lossPercent || this.#cut.has(`${sent.from}>${sent.to}`);
    const target = this.#members[sent.to - 1];
    if (isLost || target === undefined) return;
    this.#step(target, { kind: "message", from: sent.from, message: sent.message });
  }

  #finishAppend(member: Member): void {
    if (this.#nowMs < member.diskHangsUntilMs) return;
    const append = member.appends.shift();
    if (append === undefined) return;
    this.#keep(member, append.records);
    this.#send(member, append.release);
  }

  #keep(member: Member, records: readonly DurableRecord[]): void {
    for (const record of records) {
      this.#ghost.durable(member.node, record);
      if (record.kind === "snapshot") {
        member.durable = member.durable.filter((earlier) => !standsFor(record, earlier));
      }
      member.durable.push(record);
    }
  }

  /** Of what was on its way to the disk a prefix may have arrived. */
  #crash(member: Member): void {
    if (!this.#isUp(member)) return;
    this.#crashes += 1;
    const pending = member.appends.flatMap(({ records }) => records);
    const kept = this.#below(pending.length + 1);
    this.#recordsLost += pending.length - kept;
    this.#keep(member, pending.slice(0, kept));
    member.appends = [];
    member.saving = undefined;
    member.life += 1;
    member.downUntilMs = this.#nowMs + this.#below(MAX_DOWN_MS);
    const config = configOf(member.node, this.#options.nodes, CONFIG);
    const remembered = member.durable.filter(this.#options.remembers ?? (() => true));
    const { state, apply } = recover(config, remembered);
    member.state = state;
    apply.forEach((chosen, index) => {
      this.#ghost.applied(chosen.slot, text(chosen.value), state.snapshotSlot + 1 + index);
    });
  }

  #heal(): void {
    this.#cut.clear();
    this.#nowMs += MAX_DOWN_MS;
    for (const member of this.#members) member.diskHangsUntilMs = 0;
    const before = this.#ghost.chosenCount;
    for (let count = 0; count < 300; count += 1) {
      this.#passTime(5);
      for (const member of this.#members) this.#propose(member);
      this.#settle();
      if (this.#ghost.chosenCount > before + 3 && this.#isLevel()) return;
    }
    throw new Error("a healed group decides again and levels");
  }

  #settle(): void {
    for (let isQuiet = false; !isQuiet;) {
      isQuiet = true;
      for (const member of this.#members) {
        this.#finishSaving(member);
        while (member.appends.length > 0) {
          this.#finishAppend(member);
          isQuiet = false;
        }
      }
      for (const sent of this.#wire.splice(0)) {
        const target = this.#members[sent.to - 1];
        if (target === undefined) continue;
        this.#step(target, { kind: "message", from: sent.from, message: sent.message });
        isQuiet = false;
      }
    }
  }

  /** Everybody knows all that is chosen, but for what the last heartbeat did not tell yet. */
  #isLevel(): boolean {
    const known = this.#members.map(({ state }) => state.chosenUpTo);
    return Math.min(...known) >= this.#ghost.chosenCount - 3;
  }
}
