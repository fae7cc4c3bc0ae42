/** Why a participant itself lets go of a branch, or does not begin one. */
import type { Refusal } from "../../shared/model/protocol.ts";

export const ABORTED: Refusal = {
  code: "transaction-timeout",
  sentence: "the coordinator aborted the transaction",
};
export const LINK_LOST: Refusal = {
  code: "coordinator-changed",
  sentence: "the connection to the coordinator was lost",
};
export const HIGHER_BALLOT: Refusal = {
  code: "coordinator-changed",
  sentence: "a leader with a higher ballot has spoken",
};
export const MET_BEFORE: Refusal = {
  code: "transaction-timeout",
  sentence: "the branch was run or aborted before",
};
export const NOT_OPEN: Refusal = {
  code: "transaction-timeout",
  sentence: "the branch is not open",
};
export const SILENCE: Refusal = {
  code: "coordinator-changed",
  sentence: "nothing was heard of the transaction for too long",
};
