/**
 * The ledger as bytes, for snapshots: records.ts says how records become chunks, this file what is in them.
 *
 *   head                JSON: format version, floor, time, what is forgotten, and how many records of each kind follow
 *   carriers            JSON, one each: committed and not complete, oldest first
 *   committed chunks    ballot, index, time of last activity (float64 each), then 1024 bits; order as in CommittedImage
 *   answers             JSON, one each: [key, fingerprint, transaction id, wall clock, time, results], oldest first
 *
 * The log's checksums guard the bytes; what is checked here is that they are a ledger, so that a mistake in this file or
 * another version of it stops a node instead of giving it a memory that it never had.
 */
import { z } from "zod";
import type { OperationResult } from "../../../shared/model/api.ts";
import {
  carrierOrigin,
  parseTransactionId,
  transactionOrigin,
  type Ballot,
} from "../../../shared/model/ids.ts";
import { CHUNK_WORDS } from "../../../shared/model/sequence-set.ts";
import type { CommitCommand } from "../command.ts";
import type { AnswersImage, KeyedAnswer } from "./answers.ts";
import type { ChunkImage, CommittedImage } from "./committed-set.ts";
import type { LedgerTimeImage } from "./ledger-time.ts";
import { chunksOf, malformed, recordsOf } from "./records.ts";

export interface LedgerImage {
  readonly floor: Ballot;
  readonly time: LedgerTimeImage;
  readonly incomplete: readonly CommitCommand[];
  readonly committed: CommittedImage;
  readonly answers: AnswersImage;
}

/** Raised with every change of the format. An older version is refused: it must be migrated by the code that knew it. */
const FORMAT_VERSION = 2;
const CHUNK_HEAD_BYTES = 24;
const CHUNK_RECORD_BYTES = CHUNK_HEAD_BYTES + 4 * CHUNK_WORDS;

const count = z.int().min(0);
const Head = z.strictObject({
  format: z.literal("synod ledger"),
  version: z.literal(FORMAT_VERSION),
  floor: count,
  time: z.strictObject({ passedMs: z.number().min(0), lastAtMs: z.number() }),
  forgottenUpTo: z.strictObject({ ballot: count, index: count }).nullable(),
  answersForgottenUpToMs: z.number(),
  carriers: count,
  chunks: count,
  answers: count,
});
const Carrier = z
  .looseObject({
    kind: z.literal("commit"),
    carrierId: z.string(),
    ballot: count,
    branches: z.array(z.looseObject({ shard: z.string(), gid: z.string(), xid: z.string() })),
    members: z.array(
      z.looseObject({
        transactionId: z.string().refine((id) => transactionOrigin(id) !== undefined),
        idempotency: z.looseObject({ key: z.string(), fingerprint: z.string() }).nullable(),
        results: z.array(z.unknown()).nullable(),
      }),
    ),
    atMs: z.number(),
  })
  .refine(({ carrierId, ballot }) => carrierOrigin(carrierId)?.ballot === ballot);

const text = new TextEncoder();
const fromText = new TextDecoder("utf-8", { fatal: true });
const json = (value: unknown): Uint8Array => text.encode(JSON.stringify(value));

export function encodeImage(image: LedgerImage): Iterable<Uint8Array> {
  return chunksOf(() => recordsFrom(image));
}

function* recordsFrom(image: LedgerImage): Generator<Uint8Array> {
  const { floor, time, incomplete, committed, answers } = image;
  const head: z.input<typeof Head> = {
    ...{ format: "synod ledger", version: FORMAT_VERSION, floor, time },
    forgottenUpTo: committed.forgottenUpTo,
    answersForgottenUpToMs: answers.forgottenUpToMs,
    carriers: incomplete.length,
    chunks: committed.chunks.length,
    answers: answers.answers.length,
  };
  yield json(head);
  for (const carrier of incomplete) yield json(carrier);
  for (const chunk of committed.chunks) yield chunkRecord(chunk);
  for (const { key, fingerprint, transactionId, atMs, givenMs, results } of answers.answers) {
    yield json([key, fingerprint, transactionId, atMs, givenMs, results]);
  }
}

export function decodeImage(chunks: Iterable<Uint8Array>): LedgerImage {
  const records = recordsOf(chunks)[Symbol.iterator]();
  const next = (): Uint8Array => {
    const { done, value } = records.next();
    return done === true ? malformed("it ends too early") : value;
  };
  const times = <Item>(many: number, read: (record: Uint8Array) => Item): readonly Item[] => {
    const items: Item[] = [];
    while (items.length < many) items.push(read(next()));
    return items;
  };
  const head = Head.safeParse(parsed(next())).data ?? malformed("no head of this version");
  const image: LedgerImage = {
    floor: head.floor as Ballot,
    time: head.time,
    incomplete: times(head.carriers, carrierFrom),
    committed: {
      forgottenUpTo: head.forgottenUpTo as CommittedImage["forgottenUpTo"],
      chunks: times(head.chunks, chunkFrom),
    },
    answers: {
      forgottenUpToMs: head.answersForgottenUpToMs,
      answers: times(head.answers, answerFrom),
    },
  };
  if (records.next().done !== true) malformed("more follows after its end");
  const ids = new Set(image.incomplete.map(({ carrierId }) => carrierId));
  if (ids.size < image.incomplete.length) malformed("a carrier comes twice");
  return image;
}

function parsed(record: Uint8Array): unknown {
  try {
    return JSON.parse(fromText.decode(record));
  } catch {
    return malformed("a record is no JSON");
  }
}

function carrierFrom(record: Uint8Array): CommitCommand {
  const carrier = parsed(record);
  if (!Carrier.safeParse(carrier).success) malformed("a carrier is none");
  return carrier as CommitCommand;
}

function answerFrom(record: Uint8Array): KeyedAnswer {
  const answer = parsed(record);
  const fields: readonly unknown[] = Array.isArray(answer) ? answer : [];
  const [key, fingerprint, id, atMs, givenMs, results] = fields;
  const transactionId = typeof id === "string" ? parseTransactionId(id) : undefined;
  if (
    typeof key !== "string" ||
    typeof fingerprint !== "string" ||
    transactionId === undefined ||
    typeof atMs !== "number" ||
    typeof givenMs !== "number" ||
    !Array.isArray(results)
  ) {
    return malformed("an answer is none");
  }
  return { key, fingerprint, transactionId, atMs, givenMs, results: results as OperationResult[] };
}

function chunkRecord({ ballot, index, lastActiveMs, words }: ChunkImage): Uint8Array {
  const record = new Uint8Array(CHUNK_RECORD_BYTES);
  const view = new DataView(record.buffer);
  view.setFloat64(0, ballot, true);
  view.setFloat64(8, index, true);
  view.setFloat64(16, lastActiveMs, true);
  words.forEach((word, place) => {
    view.setUint32(CHUNK_HEAD_BYTES + 4 * place, word, true);
  });
  return record;
}

function chunkFrom(record: Uint8Array): ChunkImage {
  if (record.length !== CHUNK_RECORD_BYTES) malformed("committed sequences of another length");
  const view = new DataView(record.buffer, record.byteOffset, record.length);
  const [ballot, index] = [view.getFloat64(0, true), view.getFloat64(8, true)];
  const lastActiveMs = view.getFloat64(16, true);
  const areCounts = [ballot, index].every((value) => Number.isSafeInteger(value) && value >= 0);
  if (!areCounts || !Number.isFinite(lastActiveMs)) malformed("committed sequences of nobody");
  const words = Uint32Array.from({ length: CHUNK_WORDS }, (_word, place) =>
    view.getUint32(CHUNK_HEAD_BYTES + 4 * place, true),
  );
  return { ballot: ballot as Ballot, index, lastActiveMs, words };
}
