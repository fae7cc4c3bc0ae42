/** Clients carry workloads: each one transaction after the other, until it is told to end; then it waits for its last outcome. */
import { setTimeout } from "node:timers/promises";
import { Synod } from "../../../client/sdk.ts";
import type { Recording } from "../recording.ts";
import type { Task, Told, Workload } from "./task.ts";

/** For so long an unclear outcome is asked for again. */
const GIVE_UP_MS = 120_000;
/** Between two transactions: a machine that has nothing left would say more about itself than about the cluster. */
const THINK_MS = 30;

export interface Load {
  /** Resolves when every transaction has ended. */
  stop(): Promise<void>;
}

/** One client for each of `workloads`; they begin at different coordinators. */
export function startLoad(
  urls: readonly string[],
  workloads: readonly Workload[],
  recording: Recording,
): Load {
  const end = new AbortController();
  const clients = Promise.all(
    workloads.map((workload, index) => {
      const first = index % urls.length;
      const endpoints = [...urls.slice(first), ...urls.slice(0, first)];
      return carry(endpoints, workload, recording, end.signal);
    }),
  );
  // A load that fails is told by `stop`.
  clients.catch(() => undefined);
  return {
    stop: async () => {
      end.abort();
      await clients;
    },
  };
}

async function carry(
  endpoints: readonly string[],
  workload: Workload,
  recording: Recording,
  end: AbortSignal,
): Promise<void> {
  const synod = new Synod({ endpoints });
  const process = recording.newProcess();
  try {
    while (!end.aborted) {
      await runOne(synod, process, workload.next(), recording);
      await setTimeout(THINK_MS);
    }
  } finally {
    synod.close();
  }
}

async function runOne(
  synod: Synod,
  process: number,
  task: Task,
  recording: Recording,
): Promise<void> {
  const common = { process, transaction: task.name };
  recording.tell({ event: "invoke", ...common, operations: [...task.operations] });
  const giveUpAtMs = performance.now() + GIVE_UP_MS;
  let answer = await task.run(synod);
  while (answer.kind === "unclear" && performance.now() < giveUpAtMs) {
    answer = await answer.askAgain();
  }
  record(answer, common, recording);
}

function record(
  answer: Told,
  common: { readonly process: number; readonly transaction: string },
  recording: Recording,
): void {
  switch (answer.kind) {
    case "committed": {
      const { acknowledged, operations } = answer;
      recording.tell({ event: "ok", ...common, acknowledged, operations: [...operations] });
      return;
    }
    case "aborted":
      recording.tell({ event: "fail", ...common, reason: answer.reason });
      return;
    case "unclear":
      recording.tell({ event: "info", ...common, reason: answer.reason });
      return;
  }
}
