/** What a participant asks any coordinator, over HTTP, about branches that are in doubt. */
import { z } from "zod";
import { carrierIdSchema, shardSchema, xidSchema } from "./protocol.ts";

export const OutcomeInquiry = z.object({
  shard: shardSchema,
  branches: z
    .array(z.object({ carrierId: carrierIdSchema, xid: xidSchema }))
    .min(1)
    .max(256),
});
export type OutcomeInquiry = z.infer<typeof OutcomeInquiry>;

/**
 * `committed` names the xid that was voted for on the asking shard (null once the decision is complete and only
 * "it committed" is kept). `undecided`: ask again. `forgotten`: older than what is kept; nobody may presume.
 */
export const OutcomeAnswer = z.object({
  outcomes: z.array(
    z.discriminatedUnion("kind", [
      z.object({ kind: z.literal("committed"), xid: xidSchema.nullable() }),
      z.object({ kind: z.literal("aborted") }),
      z.object({ kind: z.literal("undecided") }),
      z.object({ kind: z.literal("forgotten") }),
    ]),
  ),
});
export type OutcomeAnswer = z.infer<typeof OutcomeAnswer>;
export type BranchOutcome = OutcomeAnswer["outcomes"][number];
