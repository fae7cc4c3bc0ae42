/** Coordinators that break a rule: what stands around the production node is changed, or what it answers. */
import type { CoordinatorNode } from "../../../coordinator/coordinator-node.ts";
import type { PeerMessage } from "../../../coordinator/paxos/message.ts";
import {
  DEFAULT_LEDGER_OPTIONS,
  type LedgerOptions,
} from "../../../coordinator/transactions/ledger/ledger.ts";
import {
  DEFAULT_ANSWERED_KEYS_LIMITS,
  type AnsweredKeysLimits,
} from "../../../coordinator/transactions/answered-keys.ts";
import type { ParticipantLinks, ReplyTo } from "../../../coordinator/transport/participant-link.ts";
import type { PeerTransport } from "../../../coordinator/transport/peer-transport.ts";
import { SynodError } from "../../../shared/model/errors.ts";
import { carrierOrigin, type ShardId } from "../../../shared/model/ids.ts";
import type { BranchOutcome } from "../../../shared/model/inquiry.ts";
import type { BranchRequest, ListRequest, WaitsReply } from "../../../shared/model/protocol.ts";
import type { Mutation } from "../mutation.ts";

export function mutatedLedgerOptions(mutation: Mutation): LedgerOptions {
  const { answers } = DEFAULT_LEDGER_OPTIONS;
  return {
    ...DEFAULT_LEDGER_OPTIONS,
    voidsCommitsBelowFloor: mutation !== "no floor",
    answers: mutation === "answers not kept" ? { ...answers, maxEntries: 0 } : answers,
  };
}

export function mutatedAnsweredKeys(mutation: Mutation): AnsweredKeysLimits {
  const isForgetful = mutation === "aborts forgotten";
  return { ...DEFAULT_ANSWERED_KEYS_LIMITS, ...(isForgetful && { maxEntries: 0 }) };
}

export function mutatedPeers(peers: PeerTransport, mutation: Mutation): PeerTransport {
  if (mutation !== "reports ignored") return peers;
  const silenced = (message: PeerMessage): PeerMessage =>
    message.kind === "phase1b" ? { ...message, slots: [] } : message;
  return {
    send: (to, message) => {
      peers.send(to, message);
    },
    onMessage: (receive) => {
      peers.onMessage((from, message) => {
        receive(from, silenced(message));
      });
    },
    onPeerLost: (notify) => {
      peers.onPeerLost(notify);
    },
  };
}

const LINK_MUTATIONS: readonly Mutation[] = [
  "own ballot aborted",
  "silence is a confirmation",
  "waits both ways",
  "snapshots not compared",
];

export function mutatedLinks(links: ParticipantLinks, mutation: Mutation): ParticipantLinks {
  if (!LINK_MUTATIONS.includes(mutation)) return links;
  async function request<Request extends BranchRequest>(
    shard: ShardId,
    asked: Request,
    timeoutMs: number,
  ): Promise<ReplyTo<Request>> {
    if (mutation === "silence is a confirmation" && asked.kind === "commit") {
      const confirmed = { kind: "committed", evidence: "commandTag" } as ReplyTo<Request>;
      return links.request(shard, asked, timeoutMs).catch(() => confirmed);
    }
    const reply = await links.request(shard, asked, timeoutMs);
    if (mutation === "own ballot aborted" && asked.kind === "list") {
      abortAll(links, shard, asked.ballot, reply as ReplyTo<ListRequest>);
    }
    if (mutation === "snapshots not compared" && "snapshot" in reply) {
      return { ...reply, snapshot: "0:0:" };
    }
    if (mutation === "waits both ways" && asked.kind === "waits") {
      return bothWays(reply as WaitsReply) as ReplyTo<Request>;
    }
    return reply;
  }
  return {
    shards: links.shards,
    connected: (shard) => links.connected(shard),
    request,
    onChange: (notify) => {
      links.onChange(notify);
    },
  };
}

function bothWays(reply: WaitsReply): WaitsReply {
  if (reply.kind !== "waits") return reply;
  const back = reply.waits.map(({ waiter, holder, evidence }) => {
    return { waiter: holder, holder: waiter, evidence };
  });
  return { ...reply, waits: [...reply.waits, ...back] };
}

function abortAll(
  links: ParticipantLinks,
  shard: ShardId,
  ballot: number,
  reply: ReplyTo<ListRequest>,
): void {
  if (reply.kind !== "prepared") return;
  for (const { gid, carrierId } of reply.branches) {
    if (carrierOrigin(carrierId)?.ballot !== ballot) continue;
    links.request(shard, { kind: "abort", gid }, 1_000).catch(() => undefined);
  }
}

/** Changes what the node's own parts tell each other and the world. */
export function mutateNode(node: CoordinatorNode, name: string, mutation: Mutation): void {
  const { ledger, replica } = node;
  if (mutation === "snapshot not restored") ledger.restore = () => undefined;
  if (mutation === "aborted without proof") replica.stillLeads = () => Promise.resolve(true);
  if (mutation === "read without proof") proveNothingForReads(node);
  if (mutation === "a key for each node") renameKeys(node, name);
  if (mutation === "meant for anybody") obeyAnybody(node);
  if (mutation === "unknown told as aborted") denyUnknown(node);
  if (mutation === "undecided is aborted") presume(node, () => true);
  if (mutation === "aborted before the barrier") {
    presume(node, () => replica.state?.role.kind === "leader");
  }
}

/** Only transactions still ask whether the node leads. */
function proveNothingForReads({ gateway, replica }: CoordinatorNode): void {
  const read = gateway.read.bind(gateway);
  const stillLeads = replica.stillLeads.bind(replica);
  let reads = 0;
  gateway.read = (request) => {
    reads += 1;
    return read(request).finally(() => {
      reads -= 1;
    });
  };
  replica.stillLeads = (ballot) => (reads > 0 ? Promise.resolve(true) : stillLeads(ballot));
}

function renameKeys({ gateway }: CoordinatorNode, name: string): void {
  const submit = gateway.submit.bind(gateway);
  gateway.submit = ({ request, idempotency }) => {
    const renamed = idempotency && { ...idempotency, key: `${idempotency.key} ${name}` };
    return submit({ request, idempotency: renamed });
  };
}

function obeyAnybody({ gateway }: CoordinatorNode): void {
  const submit = gateway.submit.bind(gateway);
  gateway.submit = ({ request, idempotency }) => submit({ request, idempotency });
}

function denyUnknown({ gateway }: CoordinatorNode): void {
  const submit = gateway.submit.bind(gateway);
  gateway.submit = (submission) =>
    submit(submission).catch((error: unknown) => {
      throw asAborted(error);
    });
}

function presume({ gateway }: CoordinatorNode, presumes: () => boolean): void {
  const outcomes = gateway.outcomes.bind(gateway);
  gateway.outcomes = (inquiry) => {
    const answer = outcomes(inquiry);
    return presumes() ? { outcomes: answer.outcomes.map(presumed) } : answer;
  };
}

function presumed(outcome: BranchOutcome): BranchOutcome {
  return outcome.kind === "undecided" ? { kind: "aborted" } : outcome;
}

function asAborted(error: unknown): unknown {
  if (!(error instanceof SynodError) || error.code !== "outcome-unknown") return error;
  return new SynodError("transaction-timeout", error.message, error.detail);
}
