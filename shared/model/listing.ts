/** `GET /v1/transactions`: what is not finished, as the leader knows it, in pages. */
import { z } from "zod";
import { readTransactionId } from "./id-check.ts";

export const LIST_LIMITS = { maxPage: 200, defaultPage: 50 } as const;

/** `active`: not decided. `committed`: decided, but a shard has not confirmed. */
const ListedState = z.enum(["active", "committed"]);

/** Read from the query, where everything is text. */
export const ListRequest = z.strictObject({
  state: ListedState.optional(),
  limit: z.coerce.number().int().min(1).max(LIST_LIMITS.maxPage).default(LIST_LIMITS.defaultPage),
  /** `nextCursor` of the page before. */
  cursor: z
    .string()
    .refine((text) => readTransactionId(text) !== undefined, "must be the cursor of a page before")
    .optional(),
});
export type ListRequest = z.infer<typeof ListRequest>;

const ListedTransaction = z.object({
  id: z.string(),
  state: ListedState,
  shards: z.array(z.string()),
  /** Those that have not confirmed; empty while it is active. */
  pendingShards: z.array(z.string()),
  /** Null while it is active. */
  decidedAt: z.iso.datetime().nullable(),
});
export type ListedTransaction = z.infer<typeof ListedTransaction>;

export const ListAnswer = z.object({
  transactions: z.array(ListedTransaction).max(LIST_LIMITS.maxPage),
  /** What to ask for next; null on the last page. */
  nextCursor: z.string().nullable(),
});
export type ListAnswer = z.infer<typeof ListAnswer>;
