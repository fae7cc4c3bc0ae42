/** Where a transaction is asked about. */
import { RequestRefusedError } from "./errors.ts";

export const TRANSACTIONS_PATH = "/v1/transactions";
/** As a part of a path these lead to something else, however they are written. */
const NO_IDS = new Set(["", ".", "..", "begin"]);

/** Throws RequestRefusedError for what cannot be asked about by its address; whether the rest are ids, the cluster says. */
export function transactionPath(id: string): string {
  if (!NO_IDS.has(id)) return `${TRANSACTIONS_PATH}/${encodeURIComponent(id)}`;
  throw new RequestRefusedError(`not-found: "${id}" is not the id of a transaction`, "not-found", {
    outcome: "not_started",
    retryable: false,
  });
}
