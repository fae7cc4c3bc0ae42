/**
 * ParticipantLinks over channels: one connection to each participant, kept up for ever, so that a node that begins to lead
 * can speak to every shard at once.
 */
import type { ClusterId, NodeId, ShardId } from "../../shared/model/ids.ts";
import type { Logger, Random } from "../../shared/model/ports.ts";
import {
  BRANCH_REPLY_SCHEMAS,
  ParticipantHello,
  PROTOCOL_VERSION,
  type BranchRequest,
  type CoordinatorHello,
} from "../../shared/model/protocol.ts";
import { connectChannel, type Connection } from "../../shared/runtime/channel-ends.ts";
import type { NodeTls } from "../../shared/runtime/node-certificate.ts";
import type { ClusterSecret } from "../../shared/runtime/cluster-secret.ts";
import { ChannelDown } from "../../shared/runtime/channel-errors.ts";
import type { Channel } from "../../shared/runtime/channel.ts";
import { LinkDown, LinkLost, type ParticipantLinks, type ReplyTo } from "./participant-link.ts";

export interface SocketParticipantsOptions {
  readonly clusterId: ClusterId;
  readonly self: NodeId;
  /** host:port of each participant. */
  readonly participants: ReadonlyMap<ShardId, string>;
  readonly secret: ClusterSecret | undefined;
  readonly tls?: NodeTls | undefined;
  readonly random: Random;
  readonly logger: Logger;
}

interface Up {
  readonly channel: Channel;
  readonly hello: ParticipantHello;
}

export class SocketParticipants implements ParticipantLinks {
  readonly #options: SocketParticipantsOptions;
  readonly #up = new Map<ShardId, Up>();
  readonly #complaints = new Map<ShardId, string>();
  #connections: Connection[] = [];
  readonly #notify: ((shard: ShardId) => void)[] = [];

  constructor(options: SocketParticipantsOptions) {
    this.#options = options;
  }

  start(): void {
    const { participants } = this.#options;
    this.#connections = [...participants].map(([shard, address]) => this.#connect(shard, address));
  }

  stop(): void {
    for (const connection of this.#connections) connection.close();
  }

  get shards(): readonly ShardId[] {
    return [...this.#options.participants.keys()];
  }

  connected(shard: ShardId): ParticipantHello | undefined {
    return this.#up.get(shard)?.hello;
  }

  onChange(notify: (shard: ShardId) => void): void {
    this.#notify.push(notify);
  }

  async request<Request extends BranchRequest>(
    shard: ShardId,
    request: Request,
    timeoutMs: number,
  ): Promise<ReplyTo<Request>> {
    const up = this.#up.get(shard);
    if (up === undefined) throw new LinkDown(`shard ${shard} is not connected`);
    let reply: unknown;
    try {
      reply = await up.channel.request(request, timeoutMs);
    } catch (cause) {
      if (cause instanceof ChannelDown) throw new LinkDown(cause.message, { cause });
      throw new LinkLost(`shard ${shard}: ${String(cause)}`, { cause });
    }
    const parsed = BRANCH_REPLY_SCHEMAS[request.kind].safeParse(reply);
    if (parsed.success) return parsed.data as ReplyTo<Request>;
    this.#options.logger.error({ shard, kind: request.kind }, "a reply breaks the protocol");
    throw new LinkLost(`shard ${shard} answered out of protocol`, { cause: parsed.error });
  }

  #connect(shard: ShardId, address: string): Connection {
    const { clusterId, self, random, logger, tls } = this.#options;
    const hello: CoordinatorHello = { protocol: PROTOCOL_VERSION, clusterId, nodeId: self };
    return connectChannel({
      secret: this.#options.secret,
      tls: tls?.dial("participant", shard),
      url: `${tls === undefined ? "ws" : "wss"}://${address}/channel`,
      hello: () => hello,
      random,
      acceptReply: (reply) => this.#accepts(shard, reply),
      onUp: (channel, reply) => {
        this.#complaints.delete(shard);
        this.#up.set(shard, { channel, hello: ParticipantHello.parse(reply) });
        this.#changed(shard);
      },
      onDown: () => {
        this.#up.delete(shard);
        this.#changed(shard);
      },
      onRefused: (sentence) => {
        this.#complain(shard, `the participant refuses this node: ${sentence}`);
      },
      onFailed: (sentence) => {
        logger.debug({ shard, address }, sentence);
      },
    });
  }

  #accepts(shard: ShardId, reply: unknown): boolean {
    const hello = ParticipantHello.safeParse(reply);
    const isRight =
      hello.success &&
      hello.data.clusterId === this.#options.clusterId &&
      hello.data.shard === shard;
    if (!isRight) this.#complain(shard, "this address is not the participant of this shard");
    return isRight;
  }

  /** Once, until the complaint changes: the connection is tried again every second. */
  #complain(shard: ShardId, sentence: string): void {
    if (this.#complaints.get(shard) === sentence) return;
    this.#complaints.set(shard, sentence);
    this.#options.logger.warn({ shard }, sentence);
  }

  #changed(shard: ShardId): void {
    for (const notify of this.#notify) notify(shard);
  }
}
