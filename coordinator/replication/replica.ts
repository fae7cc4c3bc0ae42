/**
 * The one hand that holds core and IO: inbox → step → persist → send → apply, and the ticker.
 *
 *   peers, own messages, ticks ──▶ inbox ──▶ step ──▶ records ──▶ log ──▶ released messages
 *                                              ├────▶ messages that may leave at once
 *                                              └────▶ chosen slots, in order ──▶ apply
 *
 * Everything happens on one thread and one input at a time; what a step causes meanwhile waits in the inbox. Ticks go first,
 * and after a stall (a stopped process, a long pause of the event loop) one is made up: a leader that was away for an election
 * timeout steps down before it says anything. Any error in here (a broken invariant, a failed log) is fatal: the replica stops for good and says so.
 */
import type { Ballot, NodeId, Slot } from "../../shared/model/ids.ts";
import type { Cancel, Clock, Random } from "../../shared/model/ports.ts";
import type { LogStore } from "../log/log-store.ts";
import type { ChosenSlot, Envelope } from "../paxos/message.ts";
import { canPropose } from "../paxos/leader.ts";
import { recover } from "../paxos/recover.ts";
import type { PaxosConfig, PaxosInput, PaxosState } from "../paxos/state.ts";
import { step } from "../paxos/step.ts";
import type { EncodedCommand } from "../transactions/command.ts";
import type { PeerTransport } from "../transport/peer-transport.ts";
import { CommandQueue } from "./command-queue.ts";
import { DurableOutbox } from "./durable-outbox.ts";
import { LeadershipProof } from "./leadership-proof.ts";

/** Slots in flight beyond which only full batches are proposed; the core's window bounds those. */
const SLOTS_AT_ONCE = 2;
const FULL_BATCH = 64;

export interface ReplicaEvents {
  /** Called once per slot, in slot order, from the first slot on after each start. */
  readonly apply: (chosen: ChosenSlot) => void;
  /** This node began to lead under `ballot`. The first command submitted must be the barrier. */
  readonly leads: (ballot: Ballot) => void;
  readonly stoppedLeading: (ballot: Ballot) => void;
  /** Fatal. The process must end. */
  readonly failed: (error: unknown) => void;
}

export interface ReplicaOptions {
  readonly config: PaxosConfig;
  readonly tickIntervalMs: number;
  readonly log: LogStore;
  readonly peers: PeerTransport;
  readonly clock: Clock;
  readonly random: Random;
  readonly events: ReplicaEvents;
}

export class Replica {
  readonly #options: ReplicaOptions;
  readonly #outbox: DurableOutbox;
  readonly #queue = new CommandQueue();
  readonly #proof: LeadershipProof;
  readonly #inbox: PaxosInput[] = [];
  #tickIsDue = false;
  #tickedAtMs = 0;
  #state: PaxosState | undefined;
  #leadsUnder: Ballot | undefined;
  #draining = false;
  #scheduled = false;
  #stopped = false;
  #cancelTick: Cancel = () => undefined;

  constructor(options: ReplicaOptions) {
    this.#options = options;
    this.#proof = new LeadershipProof(options.config.phase2Quorum);
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

  /** Opens the log, applies what it knows to be chosen, and begins to take part. */
  async start(): Promise<void> {
    const { records } = await this.#options.log.open();
    const { state, apply } = recover(this.#options.config, records);
    this.#state = state;
    for (const chosen of apply) this.#options.events.apply(chosen);
    this.#options.peers.onMessage((from, message) => {
      this.#receive({ kind: "message", from, message });
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
    this.#proof.ended();
    await this.#options.log.close();
  }

  get state(): PaxosState | undefined {
    return this.#state;
  }

  /** The node heard leading within the election timeout, or this one. */
  get leader(): NodeId | undefined {
    const state = this.#state;
    if (state === undefined) return undefined;
    if (state.role.kind === "leader") return state.config.self;
    const { heardLeader, config } = state;
    const nowMs = this.#options.clock.monotonicMs();
    const isAlive =
      heardLeader !== undefined && nowMs - heardLeader.atMs < 2 * config.electionTimeoutMs;
    return isAlive ? heardLeader.node : undefined;
  }

  get chosenUpTo(): Slot {
    return this.#state?.chosenUpTo ?? (0 as Slot);
  }

  /**
   * Queues a command to be proposed under `ballot`. False when this node does not lead under that ballot or the queue
   * is full: then it was not and will not be proposed. After true only `apply` tells what became of it.
   */
  submit(command: EncodedCommand, ballot: Ballot): boolean {
    if (this.#stopped || this.#leadsUnder !== ballot || !this.#queue.push(command)) return false;
    this.#schedule();
    return true;
  }

  /**
   * True when this node led under `ballot` at some moment after the call, so that nobody with a higher ballot did before
   * it. Takes a round trip, or up to a heartbeat where nothing is proposed; false at the latest when leadership ends.
   */
  stillLeads(ballot: Ballot): Promise<boolean> {
    const role = this.#state?.role;
    if (this.#stopped || role?.kind !== "leader" || role.ballot !== ballot) {
      return Promise.resolve(false);
    }
    return this.#proof.ask(role);
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
  }

  /** The next input: a tick, what arrived first, then whatever may be proposed. */
  #next(): PaxosInput | undefined {
    if (this.#stopped) return undefined;
    if (this.#tickIsDue) return this.#takeTick();
    const arrived = this.#inbox.shift();
    if (arrived !== undefined) return arrived;
    if (this.#state === undefined || !this.#mayPropose(this.#state)) return undefined;
    const value = this.#queue.takeBatch();
    return value === undefined ? undefined : { kind: "propose", value };
  }

  #takeTick(): PaxosInput {
    const { clock, random } = this.#options;
    this.#tickIsDue = false;
    this.#tickedAtMs = clock.monotonicMs();
    const logStalledMs = this.#outbox.stalledMs();
    return { kind: "tick", nowMs: this.#tickedAtMs, jitter: random.integer(1000), logStalledMs };
  }

  /** Small batches wait while slots are on their way: what gathers meanwhile shares one write on every node. */
  #mayPropose(state: PaxosState): boolean {
    if (!canPropose(state) || state.role.kind !== "leader") return false;
    return state.role.inFlight.size < SLOTS_AT_ONCE || this.#queue.length >= FULL_BATCH;
  }

  #step(input: PaxosInput): void {
    const before = this.#state;
    if (before === undefined) return;
    const { state, output } = step(before, input);
    this.#state = state;
    this.#outbox.collect(output);
    for (const { to, message } of output.send) this.#send(to, message);
    this.#noteLeadership(state);
    if (input.kind === "message" && input.from !== state.config.self) {
      this.#proof.heard(input.from, input.message);
    }
    for (const chosen of output.apply) this.#options.events.apply(chosen);
  }

  #noteLeadership({ role }: PaxosState): void {
    const leadsUnder = role.kind === "leader" ? role.ballot : undefined;
    const before = this.#leadsUnder;
    if (leadsUnder === before) return;
    this.#queue.clear();
    this.#proof.ended();
    this.#leadsUnder = leadsUnder;
    if (before !== undefined) this.#options.events.stoppedLeading(before);
    if (leadsUnder !== undefined) this.#options.events.leads(leadsUnder);
  }

  #deliver(envelopes: readonly Envelope[]): void {
    for (const { to, message } of envelopes) this.#send(to, message);
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
    this.#proof.ended();
    this.#options.events.failed(error);
  }
}
