/**
 * Brings one request to exactly one outcome, whatever happens to coordinators on the way: the client repeats what is unclear
 * under its key, and what it cannot learn in time is told as unresolved.
 */
import {
  OutcomeUnknownError,
  Synod,
  type SynodOptions,
  type Operation,
  TransactionAbortedError,
  UnavailableError,
} from "../../client/sdk.ts";
import { operationsOf, type Transfer, type TransferOutcome } from "./transfer.ts";

export interface TransferClient {
  /** Never rejects for what the network or the cluster does; throws when the cluster calls the request wrong. */
  send(transfer: Transfer): Promise<TransferOutcome>;
  close(): void;
}

export interface KeyedClient {
  /** As `TransferClient.send`, for any operations. */
  send(key: string, operations: readonly Operation[], timeoutMs?: number): Promise<TransferOutcome>;
  close(): void;
}

/** What a cluster that is not open asks of a client. */
export type Access = Pick<SynodOptions, "token" | "authority">;

export interface TransferClientOptions {
  readonly urls: readonly string[];
  /** Which of them is asked first. */
  readonly startAt: number;
  readonly access?: Access | undefined;
  /** Called for each answer `unknown` and each lost connection. */
  readonly onUnknown: () => void;
}

export function openTransferClient(options: TransferClientOptions): TransferClient {
  const client = openKeyedClient(options);
  return {
    send: (transfer) => client.send(transfer.id, operationsOf(transfer)),
    close: () => {
      client.close();
    },
  };
}

export function openKeyedClient({
  urls,
  startAt,
  access,
  onUnknown,
}: TransferClientOptions): KeyedClient {
  const first = startAt % urls.length;
  const synod = new Synod({
    endpoints: [...urls.slice(first), ...urls.slice(0, first)],
    ...access,
    hooks: {
      afterAttempt: (_, { ended }) => {
        if (ended === "unclear") onUnknown();
      },
    },
  });
  return {
    send: async (key, operations, timeoutMs) => {
      const options = { idempotencyKey: key, ...(timeoutMs !== undefined && { timeoutMs }) };
      try {
        await synod.transaction(operations, options);
        return { kind: "committed" };
      } catch (error) {
        return outcomeOf(error);
      }
    },
    close: () => {
      synod.close();
    },
  };
}

function outcomeOf(error: unknown): TransferOutcome {
  if (error instanceof TransactionAbortedError) return { kind: "aborted", code: error.code };
  if (error instanceof OutcomeUnknownError || error instanceof UnavailableError) {
    return { kind: "unresolved", reason: error.message };
  }
  throw error;
}
