import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { freePort } from "../../demo/ports.ts";
import { openTransferClient } from "../../demo/transfers/transfer-client.ts";
import type { Transfer, TransferOutcome } from "../../demo/transfers/transfer.ts";
import { randomTransfer } from "../../demo/transfers/transfer.ts";

type Reply = "lose the connection" | { readonly status: number; readonly body: object };

const COMMITTED: Reply = { status: 200, body: { id: "t", outcome: "committed", results: [] } };

function problem(status: number, code: string, outcome: string, retryable: boolean): Reply {
  return { status, body: { code, outcome, retryable } };
}

const ACCOUNTS = new Map([
  ["s1", ["alice"]],
  ["s2", ["bob"]],
]);

interface Script {
  readonly outcome: TransferOutcome;
  readonly keys: readonly (string | undefined)[];
  readonly unknown: number;
  readonly transfer: Transfer;
}

/** Sends one transfer to a server that gives the replies in order. */
async function play(replies: readonly Reply[], moreUrls: readonly string[] = []): Promise<Script> {
  const keys: (string | undefined)[] = [];
  const left = [...replies];
  const server: Server = createServer((request: IncomingMessage, response: ServerResponse) => {
    keys.push(request.headers["idempotency-key"] as string | undefined);
    const reply = left.shift() ?? "lose the connection";
    if (reply === "lose the connection") request.socket.destroy();
    else response.writeHead(reply.status).end(JSON.stringify(reply.body));
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  let unknown = 0;
  const onUnknown = (): void => {
    unknown += 1;
  };
  const client = openTransferClient({ urls: [url, ...moreUrls], startAt: 0, onUnknown });
  const transfer = randomTransfer(ACCOUNTS);
  try {
    return { outcome: await client.send(transfer), keys, unknown, transfer };
  } finally {
    client.close();
    await new Promise((resolve) => server.close(resolve));
  }
}

test("a committed transfer is committed, under its own id as key", async () => {
  const { outcome, keys, transfer } = await play([COMMITTED]);
  expect(outcome).toEqual({ kind: "committed" });
  expect(keys).toEqual([transfer.id]);
});

test("an abort is definite, and not tried again", async () => {
  const { outcome, keys } = await play([problem(409, "lock-timeout", "aborted", true), COMMITTED]);
  expect(outcome).toEqual({ kind: "aborted", code: "lock-timeout" });
  expect(keys).toHaveLength(1);
});

test("a lost connection and an unknown outcome are asked again with the same key", async () => {
  const { outcome, keys, unknown, transfer } = await play([
    "lose the connection",
    problem(504, "outcome-unknown", "unknown", true),
    COMMITTED,
  ]);
  expect(outcome).toEqual({ kind: "committed" });
  expect(keys).toEqual([transfer.id, transfer.id, transfer.id]);
  expect(unknown).toBe(2);
});

test("not started is no outcome: the lost attempt before it may have committed", async () => {
  const { outcome, keys } = await play([
    "lose the connection",
    problem(503, "no-quorum", "not_started", true),
    COMMITTED,
  ]);
  expect(outcome).toEqual({ kind: "committed" });
  expect(keys).toHaveLength(3);
});

test("a coordinator that is down is passed over, and not counted as unknown", async () => {
  const dead = `http://127.0.0.1:${await freePort()}`;
  const { outcome, unknown } = await play([COMMITTED], [dead]);
  expect(outcome).toEqual({ kind: "committed" });
  expect(unknown).toBe(0);
});

test("a key too old to be remembered leaves the transfer unresolved", async () => {
  const { outcome } = await play([problem(409, "idempotency-key-expired", "unknown", false)]);
  expect(outcome).toMatchObject({ kind: "unresolved" });
});

test("a request that the cluster calls wrong is an error of the demo, not an outcome", async () => {
  const refusal = play([problem(400, "invalid-request", "not_started", false)]);
  await expect(refusal).rejects.toThrow(/invalid-request/);
  const nonsense = play([{ status: 500, body: { message: "no problem document" } }]);
  await expect(nonsense).rejects.toThrow(/status 500/);
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
