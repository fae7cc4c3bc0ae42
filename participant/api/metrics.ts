/** What a participant answers to `GET /metrics`. README.md says how to read it. */
import { Metrics } from "../../shared/runtime/metrics.ts";
import type { ParticipantNode } from "../participant-node.ts";
import type { ReceiptSurvey } from "../receipt-retention.ts";

export interface MeasuredParticipant {
  readonly node: Pick<ParticipantNode, "view">;
  /** As last counted. */
  readonly receipts: () => ReceiptSurvey | undefined;
}

export function measureParticipant({ node, receipts }: MeasuredParticipant): Metrics {
  const metrics = new Metrics();
  measureBranches(metrics, node);
  measureReceipts(metrics, receipts);
  return metrics;
}

function measureBranches(metrics: Metrics, node: MeasuredParticipant["node"]): void {
  metrics.counter(
    "synod_branches_total",
    "Branches by how they ended here; prepared: voted yes",
    () =>
      Object.entries(node.view().counts).map(([state, value]) => {
        return { labels: { state }, value };
      }),
    ["state"],
  );
  metrics.gauge(
    "synod_branches_open",
    "Branches that run and have not voted",
    () => node.view().open,
  );
  metrics.gauge(
    "synod_one_phase_in_flight",
    "Transactions of this shard alone that run",
    () => node.view().onePhase,
  );
  metrics.gauge(
    "synod_shard_prepared_transactions",
    "Branches that voted yes and have not ended",
    () => node.view().prepared,
  );
  metrics.gauge(
    "synod_transactions_in_doubt",
    "Those that have waited for their outcome for too long",
    () => node.view().inDoubt,
  );
  metrics.gauge(
    "synod_oldest_in_doubt_age_seconds",
    "Age of the oldest of them",
    () => node.view().oldestInDoubtMs / 1_000,
  );
  metrics.counter(
    "synod_invariant_violations_total",
    "Branches whose end contradicts the decision: look at once",
    () => node.view().incidentCount,
  );
  metrics.counter(
    "synod_replication_warnings_total",
    "Commits that may not have reached a standby",
    () => node.view().replicationWarnings,
  );
}

function measureReceipts(metrics: Metrics, receipts: MeasuredParticipant["receipts"]): void {
  const store = { store: "shard" };
  const ofReceipts = (read: (survey: ReceiptSurvey) => number) => () => {
    const survey = receipts();
    return survey === undefined ? undefined : [{ labels: store, value: read(survey) }];
  };
  const labels = ["store"];
  metrics.gauge(
    "synod_idempotency_entries",
    "Receipts kept, as counted once a minute",
    ofReceipts(({ entries }) => entries),
    labels,
  );
  metrics.gauge(
    "synod_idempotency_bytes",
    "Their size, roughly",
    ofReceipts(({ bytes }) => bytes),
    labels,
  );
  metrics.gauge(
    "synod_idempotency_oldest_age_seconds",
    "Age of the oldest of them when they were counted",
    ofReceipts(({ oldestAgeMs = 0 }) => oldestAgeMs / 1_000),
    labels,
  );
}
