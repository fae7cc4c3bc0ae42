/** A participant on a real database, without sockets to coordinators. */
import {
  createParticipantNode,
  DEFAULT_PARTICIPANT_LIMITS,
} from "../../../participant/participant-node.ts";
import type { ParticipantNode } from "../../../participant/participant-node.ts";
import type { Shard } from "../../../participant/shard/shard.ts";
import type { BranchOperation, OnePhaseReply, Vote } from "../../../shared/model/protocol.ts";
import { systemClock, systemRandom } from "../../../shared/runtime/clock.ts";
import {
  CLUSTER,
  executeRequest,
  LINK,
  onePhaseRequest,
  SHARD,
  silent,
  TestInquirer,
} from "../../participant/node-fixture.ts";

export interface PostgresNode {
  readonly node: ParticipantNode;
  readonly inquirer: TestInquirer;
  readonly execute: (
    sequence: number,
    operations: readonly BranchOperation[],
    timeoutMs?: number,
  ) => Promise<Vote>;
  readonly executeOnePhase: (
    sequence: number,
    operations: readonly BranchOperation[],
    key?: string,
    timeoutMs?: number,
  ) => Promise<OnePhaseReply>;
}

export function createPostgresNode(shard: Shard, bootId = "boot-1"): PostgresNode {
  const inquirer = new TestInquirer();
  const node = createParticipantNode({
    ...{ clusterId: CLUSTER, shardId: SHARD, bootId, shard, inquirer },
    ...{ clock: systemClock, random: systemRandom, logger: silent },
    limits: { ...DEFAULT_PARTICIPANT_LIMITS, drainTimeoutMs: 0, inquiryAfterMs: 50 },
  });
  return {
    node,
    inquirer,
    execute: async (sequence, operations, timeoutMs = 5_000) => {
      const request = executeRequest(sequence, operations, { bootId, timeoutMs });
      return (await node.handle(LINK, request)) as Vote;
    },
    executeOnePhase: async (sequence, operations, key, timeoutMs = 5_000) => {
      const request = onePhaseRequest(sequence, operations, key, { bootId, timeoutMs });
      return (await node.handle(LINK, request)) as OnePhaseReply;
    },
  };
}
