import { freePort } from "../../demo/ports.ts";
import { openTransferClient } from "../../demo/transfers/transfer-client.ts";
import type { Transfer, TransferOutcome } from "../../demo/transfers/transfer.ts";
import { randomTransfer } from "../../demo/transfers/transfer.ts";
import {
  committed,
  problem,
  type Reply,
  startScriptedApi,
  stopScriptedApis,
} from "../support/scripted-api.ts";

const ACCOUNTS = new Map([
  ["s1", ["alice"]],
  ["s2", ["bob"]],
]);

afterEach(stopScriptedApis);

interface Play {
  readonly outcome: TransferOutcome;
  readonly keys: readonly (string | undefined)[];
  readonly unknown: number;
  readonly transfer: Transfer;
}

/** Sends one transfer to a server that gives the replies in order. */
async function play(replies: readonly Reply[], deadUrls: readonly string[] = []): Promise<Play> {
  const api = await startScriptedApi(...replies);
  let unknown = 0;
  const onUnknown = (): void => {
    unknown += 1;
  };
  const client = openTransferClient({ urls: [...deadUrls, api.url], startAt: 0, onUnknown });
  const transfer = randomTransfer(ACCOUNTS);
  try {
    const outcome = await client.send(transfer);
    return { outcome, keys: api.asked.map(({ key }) => key), unknown, transfer };
  } finally {
    client.close();
  }
}

test("a committed transfer is committed, under its own id as key", async () => {
  const { outcome, keys, transfer } = await play([committed()]);
  expect(outcome).toEqual({ kind: "committed" });
  expect(keys).toEqual([transfer.id]);
});

test("an abort is definite, and not tried again", async () => {
  const { outcome, keys } = await play([problem("lock-timeout"), committed()]);
  expect(outcome).toEqual({ kind: "aborted", code: "lock-timeout" });
  expect(keys).toHaveLength(1);
});

test("lost connections and unknown outcomes are counted, and asked again with the same key", async () => {
  const { outcome, keys, unknown, transfer } = await play([
    "lose the connection",
    problem("outcome-unknown"),
    problem("no-quorum"),
    committed(),
  ]);
  expect(outcome).toEqual({ kind: "committed" });
  expect(new Set(keys)).toEqual(new Set([transfer.id]));
  expect([keys.length, unknown]).toEqual([4, 2]);
});

test("a coordinator that is down is passed over, and not counted as unknown", async () => {
  const dead = `http://127.0.0.1:${await freePort()}`;
  const { outcome, unknown } = await play([committed()], [dead]);
  expect(outcome).toEqual({ kind: "committed" });
  expect(unknown).toBe(0);
});

test("a key too old to be remembered leaves the transfer unresolved", async () => {
  const { outcome } = await play([problem("idempotency-key-expired")]);
  expect(outcome).toMatchObject({ kind: "unresolved" });
});

test("a request that the cluster calls wrong is an error of the demo, not an outcome", async () => {
  await expect(play([problem("invalid-request")])).rejects.toThrow(/invalid-request/);
});

test("transfers go from one shard to another, under keys that sort by time", () => {
  const transfer = randomTransfer(ACCOUNTS);
  expect(new Set([transfer.from.shard, transfer.to.shard])).toEqual(new Set(["s1", "s2"]));
  expect(transfer.id).toMatch(
    /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
  );
  expect(
    Math.abs(parseInt(transfer.id.replace("-", "").slice(0, 12), 16) - Date.now()),
  ).toBeLessThan(60_000);
});
