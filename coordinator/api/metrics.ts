/** What a coordinator answers to `GET /metrics`. README.md says how to read it. */
import type { Clock } from "../../shared/model/ports.ts";
import type { Metrics } from "../../shared/runtime/metrics.ts";
import { type Sample } from "../../shared/runtime/metrics.ts";
import type { CoordinatorNode } from "../coordinator-node.ts";
import type { ParticipantLinks } from "../transport/participant-link.ts";

/** How often each error code was answered. */
export type ErrorTally = ReadonlyMap<string, number>;

export interface MeasuredCoordinator {
  readonly node: Pick<CoordinatorNode, "gateway" | "measures">;
  readonly links: Pick<ParticipantLinks, "shards" | "connected">;
  readonly errors: ErrorTally;
  readonly clock: Clock;
}

const KEY_ERROR = /^idempotency-key-(.+)$|^idempotency-(.+)$/;

export function measureCoordinator(metrics: Metrics, measured: MeasuredCoordinator): void {
  measureTransactions(metrics, measured);
  measureKeys(metrics, measured);
  measureConsensus(metrics, measured);
  const { links, node } = measured;
  metrics.gauge(
    "synod_shard_up",
    "Whether the shard's participant is connected",
    () =>
      links.shards.map((shard) => sample({ shard }, links.connected(shard) === undefined ? 0 : 1)),
    ["shard"],
  );
  metrics.counter(
    "synod_invariant_violations_total",
    "Shards whose evidence contradicts a decision: look at once",
    () => node.gateway.view().incidents.length,
  );
}

function measureTransactions(metrics: Metrics, { node, errors, clock }: MeasuredCoordinator): void {
  metrics.counter(
    "synod_transactions_total",
    "Attempts that this node ran as the leader, by what was answered",
    () =>
      node
        .measures()
        .counts.ended()
        .map(({ kind, path, outcome, count }) => sample({ kind, path, outcome }, count)),
    ["kind", "path", "outcome"],
  );
  metrics.counter(
    "synod_aborts_total",
    "Attempts that this node ran as the leader and that were aborted, by error code; rolled-back: as the client asked",
    () => byName("reason", node.measures().counts.aborts),
    ["reason"],
  );
  metrics.counter(
    "synod_errors_total",
    "Errors answered to clients and other nodes, by error code",
    () => byName("code", errors),
    ["code"],
  );
  metrics.gauge(
    "synod_transactions_in_flight",
    "Transactions that this node runs as the leader",
    () => node.gateway.view().inFlight,
  );
  const byEnd = (of: "carriers" | "members") => (): readonly Sample[] => {
    const { committed, aborted } = node.measures().lane;
    return [
      sample({ outcome: "committed" }, committed[of]),
      sample({ outcome: "aborted" }, aborted[of]),
    ];
  };
  metrics.counter(
    "synod_lane_carriers_total",
    "Carriers of the lane that this node ran as the leader, by what became of them",
    byEnd("carriers"),
    ["outcome"],
  );
  metrics.counter(
    "synod_lane_members_total",
    "Transactions that they carried, each as often as it was tried",
    byEnd("members"),
    ["outcome"],
  );
  metrics.gauge(
    "synod_interactive_open",
    "Interactive transactions that this node holds as the leader, by client; empty: clients are not told apart",
    () => byName("client", node.measures().openByClient),
    ["client"],
  );
  metrics.gauge(
    "synod_transactions_undelivered",
    "Committed transactions that not every shard has confirmed",
    () => node.measures().undelivered,
  );
  metrics.gauge("synod_oldest_undelivered_age_seconds", "Age of the oldest of them", () =>
    ageSeconds(clock, node.measures().oldestUndeliveredAtMs),
  );
}

function measureKeys(metrics: Metrics, { node, errors, clock }: MeasuredCoordinator): void {
  const byStore = (read: "entries" | "bytes") => (): readonly Sample[] => {
    const { firstAnswers, answeredKeys } = node.measures();
    return [
      sample({ store: "ledger" }, firstAnswers[read]),
      sample({ store: "leader" }, answeredKeys[read]),
    ];
  };
  const labels = ["store"];
  metrics.gauge("synod_idempotency_entries", "Keys remembered", byStore("entries"), labels);
  metrics.gauge("synod_idempotency_bytes", "Memory of keys, roughly", byStore("bytes"), labels);
  metrics.gauge(
    "synod_idempotency_oldest_age_seconds",
    "Age of the oldest first answer in the ledger",
    () => [sample({ store: "ledger" }, ageSeconds(clock, node.measures().firstAnswers.oldestAtMs))],
    labels,
  );
  metrics.counter(
    "synod_idempotent_replays_total",
    "Answers of earlier attempts that were given again",
    () =>
      Object.entries(node.measures().counts.replays).map(([outcome, count]) => {
        return sample({ outcome }, count);
      }),
    ["outcome"],
  );
  metrics.counter(
    "synod_idempotency_refusals_total",
    "Requests refused for their key: invalid, too-long, reused, expired, in-progress",
    () =>
      [...errors].flatMap(([code, count]) => {
        const match = KEY_ERROR.exec(code);
        return match === null ? [] : [sample({ reason: match[1] ?? match[2] ?? "" }, count)];
      }),
    ["reason"],
  );
}

function measureConsensus(metrics: Metrics, { node }: MeasuredCoordinator): void {
  const view = () => node.gateway.view();
  metrics.gauge("synod_paxos_has_leader", "Whether a leader is heard", () =>
    view().leader === undefined ? 0 : 1,
  );
  metrics.gauge("synod_paxos_is_leader", "Whether this node leads and serves", () =>
    view().role === "leader" && view().serving ? 1 : 0,
  );
  metrics.counter(
    "synod_paxos_leader_changes_total",
    "Leaders that began to serve, as applied here since the start",
    () => node.measures().leaderChanges,
  );
  metrics.gauge("synod_paxos_ballot", "Promised ballot: round * 1024 + node", () => view().ballot);
  metrics.gauge("synod_paxos_commit_index", "Slots known to be chosen", () => view().chosenUpTo);
  metrics.gauge("synod_paxos_applied_index", "Slots applied", () => view().appliedUpTo);
  metrics.counter(
    "synod_snapshots_total",
    "Snapshots taken",
    () => node.measures().snapshots.taken,
  );
  metrics.gauge("synod_snapshot_bytes", "Size of the last snapshot taken", () =>
    node.measures().snapshots.taken === 0 ? undefined : node.measures().snapshots.lastBytes,
  );
}

function sample(labels: Sample["labels"], value: number): Sample {
  return { labels, value };
}

function byName(label: string, counts: ReadonlyMap<string, number>): readonly Sample[] {
  return [...counts].map(([name, count]) => sample({ [label]: name }, count));
}

function ageSeconds(clock: Clock, atMs: number | undefined): number {
  return atMs === undefined ? 0 : Math.max(0, clock.wallMs() - atMs) / 1_000;
}
