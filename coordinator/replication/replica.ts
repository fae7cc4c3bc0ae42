/**
 * The one hand that holds core and IO: inbox → step → persist → send → apply, and the ticker.
 *
 *   peers, own messages, ticks ──▶ inbox ──▶ step ──▶ records ──▶ log ──▶ released messages
 *                                              ├────▶ messages that may leave at once
 *                                              ├────▶ chosen slots, in order ──▶ apply
 *                                              └────▶ snapshots (snapshots.ts) ──▶ snapshotSaved, an input like the others
 *
 * Everything happens on one thread and one input at a time; what a step causes meanwhile waits in the inbox. Ticks go first,
 * and after a stall (a stopped process, a long pause of the event loop) one is made up: a leader that was away for an election
 * timeout steps down before it says anything. What a turn chooses is applied last in that turn, so that peers and disk are at
 * work meanwhile; an end of leadership or a snapshot that comes after it waits for it. Any error in here (a broken invariant, a
 * failed log) is fatal: the replica stops for good and says so.
 */
import { assert } from "../../shared/model/assert.ts";
import type { Ballot, NodeId, Slot } from "../../shared/model/ids.ts";
import type { Cancel, Clock, Random } from "../../shared/model/ports.ts";
import type { LogStore } from "../log/log-store.ts";
import type { ChosenSlot, Envelope, PeerMessage } from "../paxos/message.ts";
import { recover } from "../paxos/recover.ts";
import type { PaxosConfig, PaxosInput, PaxosState } from "../paxos/state.ts";
import { step } from "../paxos/step.ts";
import type { EncodedCommand } from "../transactions/command.ts";
import type { PeerTransport } from "../transport/peer-transport.ts";
import { afterMessage, NOWHERE, positionOf, type Position } from "../transport/position.ts";
import { Applier, type AppliedEvents } from "./applier.ts";
import { DurableOutbox } from "./durable-outbox.ts";
import { Proposer, type LeadershipEvents } from "./proposer.ts";
import { Snapshots, type SnapshotEvents, type SnapshotPolicy } from "./snapshots.ts";

export interface ReplicaEvents extends AppliedEvents, LeadershipEvents, SnapshotEvents {
  /** Fatal. The process must end. */
  readonly failed: (error: unknown) => void;
}

export interface ReplicaOptions {
  readonly config: PaxosConfig;
  readonly tickIntervalMs: number;
  readonly snapshots: SnapshotPolicy;
  readonly log: LogStore;
  readonly peers: PeerTransport;
  readonly clock: Clock;
  readonly random: Random;
  readonly events: ReplicaEvents;
}

export class Replica {
  readonly #options: ReplicaOptions;
  readonly #outbox: DurableOutbox;
  readonly #proposer: Proposer;
  readonly #snapshots: Snapshots;
  readonly #applier: Applier;
  readonly #inbox: PaxosInput[] = [];
  #tickIsDue = false;
  #beatIsDue = false;
  #tickedAtMs = 0;
  #state: PaxosState | undefined;
  /** In this turn, and not applied yet. */
  #chosen: ChosenSlot[] = [];
  #draining = false;
  #scheduled = false;
  #holds = NOWHERE;
  #stopped = false;
  #cancelTick: Cancel = () => undefined;

  constructor(options: ReplicaOptions) {
    this.#options = options;
    this.#proposer = new Proposer(options.config.phase2Quorum, options.events);
    this.#snapshots = this.#createSnapshots();
    this.#applier = new Applier(options.events);
    this.#outbox = new DurableOutbox({
      log: options.log,
      clock: options.clock,
      deliver: (envelopes) => {
        this.#deliver(envelopes);
      },
      onFailure: (error) => {
        this.#fail(error);
      },
    });
  }

  #createSnapshots(): Snapshots {
    const { snapshots: policy, config, log, peers, clock, events } = this.#options;
    return new Snapshots({
      ...{ policy, chunkTimeoutMs: config.electionTimeoutMs, log, peers, clock },
      state: () => this.#state,
      saved: (input) => {
        this.#receive(input);
      },
      events: {
        ...events,
        failed: (error) => {
          this.#fail(error);
        },
      },
    });
  }

  /** Opens the log, restores and applies what it knows to be chosen, and begins to take part. */
  async start(): Promise<void> {
    const { records, snapshot } = await this.#options.log.open();
    const { state, apply } = recover(this.#options.config, records);
    assert(
      state.snapshotSlot === (snapshot?.slot ?? 0),
      "S3: the log starts from the snapshot that stands beside it",
    );
    this.#state = state;
    this.#holds = positionOf(state);
    if (snapshot !== undefined) this.#restore(snapshot.slot, snapshot.chunks());
    this.#apply(apply);
    this.#options.peers.onMessage((from, message) => {
      this.#hear(from, message);
    });
    this.#options.peers.onPeerLost((node) => {
      this.#receive({ kind: "peerLost", node });
    });
    this.#tick();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelTick();
    this.#inbox.length = 0;
    this.#proposer.stop();
    this.#snapshots.stop();
    await this.#options.log.close();
  }

  /** What it has recovered, and what of its promises and votes has become durable since: all that it ever acknowledged. */
  get holds(): Position {
    return this.#holds;
  }

  get state(): PaxosState | undefined {
    return this.#state;
  }

  /** The node heard leading within the election timeout, or this one, and under which ballot. */
  get leader(): { readonly node: NodeId; readonly ballot: Ballot } | undefined {
    const state = this.#state;
    if (state === undefined) return undefined;
    const { heardLeader, config, role } = state;
    if (role.kind === "leader") return { node: config.self, ballot: role.ballot };
    const nowMs = this.#options.clock.monotonicMs();
    const isAlive =
      heardLeader !== undefined && nowMs - heardLeader.atMs < 2 * config.electionTimeoutMs;
    return isAlive ? heardLeader : undefined;
  }

  get chosenUpTo(): Slot {
    return this.#state?.chosenUpTo ?? (0 as Slot);
  }

  /**
   * Queues a command to be proposed under `ballot`. False when this node does not lead under that ballot or the queue
   * is full: then it was not and will not be proposed. After true only `apply` tells what became of it.
   */
  submit(command: EncodedCommand, ballot: Ballot): boolean {
    if (this.#stopped || !this.#proposer.submit(command, ballot)) return false;
    this.#schedule();
    return true;
  }

  /**
   * True when this node led under `ballot` at some moment after the call, so that nobody with a higher ballot did before
   * it. Takes a round trip, which all share that ask in the same turn; false at the latest when leadership ends.
   */
  stillLeads(ballot: Ballot): Promise<boolean> {
    if (this.#stopped) return Promise.resolve(false);
    this.#beatIsDue = true;
    this.#schedule();
    return this.#proposer.stillLeads(this.#state?.role, ballot);
  }

  #hear(from: NodeId, message: PeerMessage): void {
    const { kind } = message;
    if (kind === "snapshotRequest" || kind === "snapshotChunk" || kind === "snapshotGone") {
      this.#snapshots.receive(from, message);
    } else {
      this.#receive({ kind: "message", from, message });
    }
  }

  #receive(input: PaxosInput): void {
    if (this.#stopped) return;
    this.#inbox.push(input);
    this.#schedule();
  }

  /** Gathers what arrives within one tick of the event loop, so that it shares one write and one frame. */
  #schedule(): void {
    if (this.#scheduled || this.#draining) return;
    this.#scheduled = true;
    this.#options.clock.soon(() => {
      this.#scheduled = false;
      this.#drain();
    });
  }

  #tick(): void {
    if (this.#stopped) return;
    this.#tickIsDue = true;
    this.#schedule();
    this.#cancelTick = this.#options.clock.after(this.#options.tickIntervalMs, () => {
      this.#tick();
    });
  }

  #drain(): void {
    if (this.#draining || this.#stopped) return;
    this.#draining = true;
    const { clock, config } = this.#options;
    const isStalled = clock.monotonicMs() - this.#tickedAtMs > config.electionTimeoutMs / 2;
    if (isStalled) this.#tickIsDue = true;
    try {
      for (let input = this.#next(); input !== undefined; input = this.#next()) this.#step(input);
      this.#outbox.flush();
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#draining = false;
    }
    if (this.#inbox.length > 0) this.#schedule();
    // In this same turn, but when the log and the peers have been given what they shall work at meanwhile.
    void Promise.resolve().then(() => {
      this.#settle();
    });
  }

  #settle(): void {
    if (this.#stopped) return;
    try {
      this.#applyChosen();
      this.#snapshots.takeIfDue();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** The next input: a tick, what arrived first, whatever may be proposed, then a heartbeat that was asked for. */
  #next(): PaxosInput | undefined {
    if (this.#stopped) return undefined;
    if (this.#tickIsDue) return this.#takeTick();
    const arrived = this.#inbox.shift();
    if (arrived !== undefined) return arrived;
    const value = this.#proposer.next(this.#state);
    if (value !== undefined) return { kind: "propose", value };
    if (!this.#beatIsDue) return undefined;
    this.#beatIsDue = false;
    return { kind: "beat" };
  }

  #takeTick(): PaxosInput {
    const { clock, random } = this.#options;
    this.#tickIsDue = false;
    this.#tickedAtMs = clock.monotonicMs();
    const logStalledMs = this.#outbox.stalledMs();
    return { kind: "tick", nowMs: this.#tickedAtMs, jitter: random.integer(1000), logStalledMs };
  }

  #step(input: PaxosInput): void {
    const before = this.#state;
    if (before === undefined) return;
    const { state, output } = step(before, input);
    this.#state = state;
    this.#outbox.collect(output);
    for (const { to, message } of output.send) this.#send(to, message);
    if (state.role.kind !== before.role.kind || output.restore !== undefined) this.#applyChosen();
    this.#proposer.noteRole(state.role);
    if (input.kind === "message" && input.from !== state.config.self) {
      this.#proposer.heard(input.from, input.message);
    }
    if (output.fetch !== undefined) this.#snapshots.fetch(output.fetch);
    const isFetched = input.kind === "snapshotSaved" && input.origin === "peer";
    const fetched = isFetched ? this.#snapshots.takeFetched() : [];
    if (output.restore !== undefined) this.#restore(output.restore, fetched);
    for (const chosen of output.apply) this.#chosen.push(chosen);
  }

  #applyChosen(): void {
    const chosen = this.#chosen;
    this.#chosen = [];
    this.#apply(chosen);
  }

  #restore(slot: Slot, chunks: Iterable<Uint8Array>): void {
    this.#applier.restore(slot, this.#snapshots.restoring(chunks));
  }

  #apply(slots: readonly ChosenSlot[]): void {
    for (const chosen of slots) {
      this.#applier.apply(chosen);
      this.#snapshots.applied(chosen);
    }
  }

  #deliver(envelopes: readonly Envelope[]): void {
    for (const { to, message } of envelopes) {
      this.#holds = afterMessage(this.#holds, message);
      this.#send(to, message);
    }
  }

  #send(to: NodeId, message: Envelope["message"]): void {
    const { config, peers } = this.#options;
    if (to === config.self) this.#receive({ kind: "message", from: to, message });
    else peers.send(to, message);
  }

  #fail(error: unknown): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#cancelTick();
    this.#proposer.stop();
    this.#snapshots.stop();
    this.#options.events.failed(error);
  }
}
