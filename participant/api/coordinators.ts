/**
 * The channel on which coordinators reach a participant. A link is one connection of one coordinator: when it ends, what
 * was begun over it and has not voted is rolled back.
 */
import type { Server } from "node:http";
import { InvariantViolation } from "../../shared/model/assert.ts";
import type { Logger } from "../../shared/model/ports.ts";
import { BranchRequest, CoordinatorHello } from "../../shared/model/protocol.ts";
import { type HelloVerdict, serveChannels } from "../../shared/runtime/channel-ends.ts";
import type { NodeTls } from "../../shared/runtime/node-certificate.ts";
import type { ClusterSecret } from "../../shared/runtime/cluster-secret.ts";
import type { ParticipantNode } from "../participant-node.ts";

export interface CoordinatorsOptions {
  readonly server: Server;
  readonly secret: ClusterSecret | undefined;
  readonly tls?: NodeTls | undefined;
  readonly node: ParticipantNode;
  /** Why coordinators are turned away now; undefined when they are welcome. */
  readonly closed: () => string | undefined;
  /** Called for broken invariants: the process must end. */
  readonly onFatal: (error: unknown) => void;
  readonly logger: Logger;
}

/** Returns how to stop: open connections are closed. */
export function serveCoordinators(options: CoordinatorsOptions): () => void {
  const { server, secret, tls, node, onFatal, logger } = options;
  return serveChannels({
    ...{ server, secret, tls },
    path: "/channel",
    acceptHello: () => (hello) => judgeHello(options, hello),
    onChannel: (channel, hello) => {
      const { nodeId } = CoordinatorHello.parse(hello);
      logger.info({ coordinator: nodeId, link: channel.id }, "a coordinator is connected");
      channel.onClose(() => {
        logger.info({ coordinator: nodeId, link: channel.id }, "a coordinator is gone");
        node.linkLost(channel.id);
      });
      channel.onRequest(async (body) => {
        const request = BranchRequest.safeParse(body);
        if (!request.success) throw new Error(`not a request: ${request.error.message}`);
        try {
          return await node.handle(channel.id, request.data);
        } catch (error) {
          if (error instanceof InvariantViolation) onFatal(error);
          throw error;
        }
      });
    },
  });
}

function judgeHello({ node, closed }: CoordinatorsOptions, body: unknown): HelloVerdict {
  const hello = CoordinatorHello.safeParse(body);
  if (!hello.success) return { accept: false, sentence: "not a coordinator of this protocol" };
  const { clusterId } = node.hello();
  if (hello.data.clusterId !== clusterId) {
    return { accept: false, sentence: `this is a participant of cluster ${clusterId}` };
  }
  const reason = closed();
  if (reason !== undefined) return { accept: false, sentence: reason };
  return { accept: true, reply: node.hello() };
}
