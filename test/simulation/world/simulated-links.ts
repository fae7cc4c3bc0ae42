/**
 * ParticipantLinks of one coordinator incarnation: a connection to each participant, made and made again.
 *
 * A connection is a stream, so what is lost on it takes the whole connection down, and each side notices in its own time.
 * Harsher than a real stream: requests overtake each other, and some arrive twice, perhaps at the next incarnation of the
 * participant, which all must withstand.
 */
import {
  LinkDown,
  LinkLost,
  type ParticipantLinks,
  type ReplyTo,
} from "../../../coordinator/transport/participant-link.ts";
import type { NodeId, ShardId } from "../../../shared/model/ids.ts";
import type { Cancel, Clock } from "../../../shared/model/ports.ts";
import type { BranchRequest, ParticipantHello } from "../../../shared/model/protocol.ts";
import { describeReply, describeRequest, summaryOf } from "./describe-protocol.ts";
import type { Tally } from "../checkers/tally.ts";
import type { Process, Scheduler } from "./scheduler.ts";
import type { SeededRandom } from "./seeded-random.ts";
import type { SimulatedNetwork } from "./simulated-network.ts";
import { machineOf } from "./simulated-peers.ts";
import type { Trace } from "./trace.ts";

/** A participant as it can be reached now. */
export interface ParticipantDoor {
  readonly process: Process;
  readonly hello: ParticipantHello;
  receive(linkId: string, request: BranchRequest): Promise<unknown>;
  lost(linkId: string): void;
}

/** What every link of a world shares. */
export interface LinkWorld {
  readonly scheduler: Scheduler;
  readonly network: SimulatedNetwork;
  readonly random: SeededRandom;
  readonly trace: Trace;
  readonly tally: Tally;
  readonly shards: readonly ShardId[];
  /** Undefined while the participant's process is down. */
  readonly door: (shard: ShardId) => ParticipantDoor | undefined;
  readonly onFailure: (error: unknown) => void;
}

interface Pending {
  readonly resolve: (reply: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly cancelTimeout: Cancel;
}

interface Connection {
  readonly linkId: string;
  readonly shard: ShardId;
  readonly door: ParticipantDoor;
  readonly pending: Set<Pending>;
  broken: boolean;
}

const RECONNECT_MS = { first: 20, mean: 80 } as const;
const CONNECT_TIMEOUT_MS = 1_000;
const NOTICE_MS = 150;

export class SimulatedLinks implements ParticipantLinks {
  readonly #world: LinkWorld;
  readonly #self: NodeId;
  readonly #process: Process;
  readonly #clock: Clock;
  readonly #effect: () => void;
  readonly #connections = new Map<ShardId, Connection>();
  readonly #opening = new Set<Connection>();
  #notify: (shard: ShardId) => void = () => undefined;

  /** `effect` runs before each request is sent, and may end the sender there. */
  constructor(world: LinkWorld, self: NodeId, process: Process, clock: Clock, effect: () => void) {
    this.#world = world;
    this.#self = self;
    this.#process = process;
    this.#clock = clock;
    this.#effect = effect;
    for (const shard of world.shards) this.#connectLater(shard, RECONNECT_MS.first);
  }

  get shards(): readonly ShardId[] {
    return this.#world.shards;
  }

  connected(shard: ShardId): ParticipantHello | undefined {
    return this.#connections.get(shard)?.door.hello;
  }

  onChange(notify: (shard: ShardId) => void): void {
    this.#notify = notify;
  }

  request<Request extends BranchRequest>(
    shard: ShardId,
    request: Request,
    timeoutMs: number,
  ): Promise<ReplyTo<Request>> {
    const connection = this.#connections.get(shard);
    if (connection === undefined) return Promise.reject(new LinkDown(`no link to ${shard}`));
    return new Promise((resolve, reject) => {
      const pending: Pending = {
        resolve: resolve as (reply: unknown) => void,
        reject,
        cancelTimeout: this.#clock.after(timeoutMs, () => {
          connection.pending.delete(pending);
          reject(new LinkLost("no reply in time"));
        }),
      };
      connection.pending.add(pending);
      this.#effect();
      if (this.#process.alive) this.#send(connection, request, pending);
    });
  }

  /** The coordinator's process ended: participants notice, sooner or later. */
  ended(): void {
    for (const connection of this.#opening) this.#break(connection);
    for (const connection of this.#connections.values()) this.#break(connection);
  }

  /** Tears down what connects this coordinator to a machine, as a cut cable would. */
  cut(shard: ShardId): void {
    const connection = this.#connections.get(shard);
    if (connection !== undefined) this.#break(connection);
  }

  #line(text: string): void {
    this.#world.trace.line(machineOf(this.#self), text);
  }

  #send(connection: Connection, request: BranchRequest, pending: Pending): void {
    const { network, scheduler, random } = this.#world;
    const { shard } = connection;
    const [from, to] = [machineOf(this.#self), shard];
    this.#line(`→ ${shard} ${describeRequest(request)}`);
    scheduler.after(network.delayMs(from, to), undefined, () => {
      this.#arrive(connection, request, pending);
    });
    if (!random.chance(network.character.duplicateChance)) return;
    this.#world.tally.count("fault: request repeated");
    scheduler.after(network.delayMs(from, to) * random.between(1, 30), undefined, () => {
      const current = connection.broken ? this.#connections.get(shard) : connection;
      if (current === undefined || network.isBlocked(from, to)) return;
      this.#world.trace.line(shard, `again: ${describeRequest(request)}`);
      this.#deliver(current, request, undefined);
    });
  }

  #arrive(connection: Connection, request: BranchRequest, pending: Pending): void {
    const { network, random } = this.#world;
    if (connection.broken) return;
    const isLost = random.chance(network.character.lossChance / 4);
    if (isLost || network.isBlocked(machineOf(this.#self), connection.shard)) {
      this.#break(connection);
      return;
    }
    this.#deliver(connection, request, pending);
  }

  #deliver(connection: Connection, request: BranchRequest, pending: Pending | undefined): void {
    const { door, linkId, shard } = connection;
    this.#world.scheduler.after(0, door.process, () => {
      door.receive(linkId, request).then((reply) => {
        if (!door.process.alive) return;
        this.#world.tally.count(summaryOf(request, reply));
        if (pending === undefined) return;
        this.#world.trace.line(shard, `→ n${this.#self} ${describeReply(request, reply)}`);
        this.#reply(connection, pending, reply);
      }, this.#world.onFailure);
    });
  }

  #reply(connection: Connection, pending: Pending, reply: unknown): void {
    const { network, random, scheduler } = this.#world;
    const [from, to] = [connection.shard, machineOf(this.#self)];
    scheduler.after(network.delayMs(from, to), this.#process, () => {
      if (connection.broken || !connection.pending.has(pending)) return;
      if (random.chance(network.character.lossChance / 4) || network.isBlocked(from, to)) {
        this.#break(connection);
        return;
      }
      connection.pending.delete(pending);
      pending.cancelTimeout();
      pending.resolve(reply);
    });
  }

  /** Nothing passes any more; each side notices in its own time. */
  #break(connection: Connection): void {
    if (connection.broken) return;
    connection.broken = true;
    this.#world.tally.count("link to a participant broken");
    const { scheduler, random } = this.#world;
    const { shard, door, linkId } = connection;
    scheduler.after(random.exponential(NOTICE_MS), door.process, () => {
      this.#world.trace.line(shard, `lost link ${linkId}`);
      door.lost(linkId);
    });
    scheduler.after(random.exponential(NOTICE_MS), this.#process, () => {
      this.#line(`lost link ${linkId} to ${shard}`);
      if (!this.#opening.delete(connection)) this.#connections.delete(shard);
      for (const { reject, cancelTimeout } of connection.pending) {
        cancelTimeout();
        reject(new LinkLost(`link to ${shard} broke`));
      }
      connection.pending.clear();
      this.#connectLater(shard, random.exponential(RECONNECT_MS.mean));
      this.#notify(shard);
    });
  }

  #connectLater(shard: ShardId, delayMs: number): void {
    this.#world.scheduler.after(delayMs, this.#process, () => {
      this.#connect(shard);
    });
  }

  /** One round trip of hellos, given up after a while. */
  #connect(shard: ShardId): void {
    const { network, scheduler, random } = this.#world;
    const self = machineOf(this.#self);
    const door = this.#world.door(shard);
    const retryMs = random.exponential(RECONNECT_MS.mean);
    if (door === undefined || network.isBlocked(self, shard) || network.isBlocked(shard, self)) {
      this.#connectLater(shard, retryMs);
      return;
    }
    const linkId = `n${this.#self}.${shard}.${random.token(4)}`;
    const connection: Connection = { linkId, shard, door, pending: new Set(), broken: false };
    this.#opening.add(connection);
    const cancelGivingUp = scheduler.after(CONNECT_TIMEOUT_MS, this.#process, () => {
      this.#break(connection);
    });
    scheduler.after(network.delayMs(self, shard), door.process, () => {
      if (connection.broken) return;
      scheduler.after(network.delayMs(shard, self), this.#process, () => {
        if (connection.broken) return;
        cancelGivingUp();
        this.#established(connection);
      });
    });
  }

  #established(connection: Connection): void {
    const { shard, door, linkId } = connection;
    this.#opening.delete(connection);
    this.#connections.set(shard, connection);
    this.#line(`link ${linkId} to ${shard}, boot ${door.hello.bootId}`);
    this.#notify(shard);
    if (!door.process.alive) this.#break(connection);
  }
}
