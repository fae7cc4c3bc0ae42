import { NotLeader } from "../../coordinator/transactions/gateway.ts";
import { Ledger } from "../../coordinator/transactions/ledger/ledger.ts";
import { Listing, type ListingOptions } from "../../coordinator/transactions/listing.ts";
import {
  nodeId,
  onePhaseTransactionId,
  shardId,
  type CarrierId,
  type ShardId,
} from "../../shared/model/ids.ts";
import { LIST_LIMITS, type ListAnswer } from "../../shared/model/listing.ts";
import { carrier, commit, complete, roundBallot, transaction } from "./support/commands.ts";

const S1 = shardId("s1");
const S2 = shardId("s2");

interface Scene {
  readonly ledger?: Ledger;
  readonly running?: readonly number[];
  readonly onePhase?: readonly number[];
  readonly open?: readonly number[];
  readonly pending?: ReadonlyMap<CarrierId, readonly ShardId[]>;
  readonly leads?: boolean;
}

function listing({
  ledger,
  running = [],
  onePhase = [],
  open = [],
  pending,
  leads = true,
}: Scene): Listing {
  const options: ListingOptions = {
    ledger: ledger ?? new Ledger(),
    leadership: { ballot: leads ? roundBallot(1) : undefined },
    carriers: {
      held: () =>
        running.map((number) => {
          const transactionId = transaction(1, number);
          return { carrierId: carrier(1, number), transactionId, shards: [S1, S2] };
        }),
    },
    onePhase: {
      active: () =>
        onePhase.map((number) => onePhaseTransactionId(roundBallot(1), number, "tailtail", S2)),
    },
    interactive: {
      open: () => open.map((number) => ({ transactionId: transaction(1, number), shards: [S1] })),
    },
    delivery: { pendingShards: (id) => pending?.get(id) },
    leader: () => ({ node: nodeId(3), ballot: roundBallot(1) }),
  };
  return new Listing(options);
}

const page = { limit: LIST_LIMITS.defaultPage };
const ids = ({ transactions }: ListAnswer): string[] => transactions.map(({ id }) => id);

test("lists what runs on two shards and on one, in the order of the ids", () => {
  const answer = listing({ running: [40, 2, 1], onePhase: [9] }).page(page);
  expect(answer.nextCursor).toBeNull();
  expect(ids(answer)).toEqual([
    transaction(1, 1),
    transaction(1, 2),
    "1-1-9-tailtail.s2",
    transaction(1, 40),
  ]);
  expect(answer.transactions[0]).toEqual({
    ...{ id: transaction(1, 1), state: "active", shards: ["s1", "s2"] },
    ...{ pendingShards: [], decidedAt: null },
  });
  expect(answer.transactions[2]?.shards).toEqual(["s2"]);
});

test("lists open interactive transactions, with the shards they have reached", () => {
  expect(listing({ running: [1], open: [3] }).page(page).transactions).toMatchObject([
    { id: transaction(1, 1), state: "active", shards: ["s1", "s2"] },
    { id: transaction(1, 3), state: "active", shards: ["s1"] },
  ]);
});

test("a committed transaction is listed while a shard has not confirmed", () => {
  const ledger = new Ledger();
  ledger.apply(commit(1, 1, { atMs: 1_000 }));
  const pending = new Map([[carrier(1, 1), [S2]]]);
  const scene = { ledger, running: [1], pending };
  expect(listing(scene).page(page).transactions).toEqual([
    {
      ...{ id: transaction(1, 1), state: "committed", shards: ["s1", "s2"] },
      ...{ pendingShards: ["s2"], decidedAt: "1970-01-01T00:00:01.000Z" },
    },
  ]);
  expect(ids(listing({ ...scene, pending: new Map() }).page(page))).toEqual([]);
  ledger.apply(complete(1, 1));
  expect(ids(listing(scene).page(page))).toEqual([]);
});

test("pages follow each other without gap or repetition, also when transactions end between", () => {
  const all = Array.from({ length: 7 }, (_, index) => index + 1);
  const first = listing({ running: all }).page({ limit: 3 });
  expect(ids(first)).toEqual([1, 2, 3].map((number) => transaction(1, number)));
  const cursor = first.nextCursor!;
  const second = listing({ running: all.filter((number) => number > 3) }).page({
    limit: 3,
    cursor,
  });
  expect(ids(second)).toEqual([4, 5, 6].map((number) => transaction(1, number)));
  const last = listing({ running: all }).page({ limit: 3, cursor: second.nextCursor! });
  expect(ids(last)).toEqual([transaction(1, 7)]);
  expect(last.nextCursor).toBeNull();
});

test("one state alone may be asked for", () => {
  const ledger = new Ledger();
  ledger.apply(commit(1, 1));
  const scene = { ledger, running: [2], pending: new Map([[carrier(1, 1), [S1]]]) };
  expect(ids(listing(scene).page({ ...page, state: "active" }))).toEqual([transaction(1, 2)]);
  expect(ids(listing(scene).page({ ...page, state: "committed" }))).toEqual([transaction(1, 1)]);
});

test("a node that does not lead says who does", () => {
  expect(() => listing({ leads: false }).page(page)).toThrow(
    new NotLeader({ node: nodeId(3), ballot: roundBallot(1) }),
  );
});
